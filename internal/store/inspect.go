package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Node is what a server that holds portals says of itself. A text is empty, and a number negative,
// if it does not say.
type Node struct {
	Address   string // as the client knows it; of a master that sentinels name, its id
	Version   string
	Cluster   bool   // it is one of a cluster
	Eviction  string // maxmemory-policy
	Memory    int64  // used, in bytes
	MaxMemory int64  // in bytes; 0 is no limit
	AOF       string // "on" or "off"
	Replicas  int    // that are connected
	// The output buffer of subscribers: hard and soft limit in bytes, and the latter's seconds.
	PubSub  string
	Evicted int64 // keys that it has evicted since it was started

	Peak           int64 // most bytes that it has used
	Startup        int64 // bytes that it used when it was empty
	Uptime         time.Duration
	CPU            time.Duration // that it has used since it was started
	Fork           time.Duration // how long it stood still for its last fork
	Writes         string        // "ok" if it could write its append-only file the last time
	Behind         []string      // what it says of replicas that do not follow
	OtherDatabases []string      // that have keys, beside the one of the client
	HugePages      bool          // it does not switch transparent huge pages off for itself
}

// Inspect asks every server that holds portals about itself: the server, the master that sentinels
// name, or all masters of a cluster. It needs the permission for INFO, and without the one for
// CONFIG GET it does not know the output buffer. The nodes are in the order of their addresses.
func (s *Store) Inspect(ctx context.Context) ([]Node, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	var nodes []Node
	var err error
	switch rdb := s.rdb.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		err = rdb.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			node, err := s.inspect(ctx, master)
			node.Cluster = true
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, node)
			return err
		})
	case *redis.Client:
		var node Node
		node, err = s.inspect(ctx, rdb)
		nodes = append(nodes, node)
	}
	if err != nil {
		return nil, fmt.Errorf("ask Redis about itself: %w", err)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Address, b.Address) })
	return nodes, nil
}

// inspect asks one server.
func (s *Store) inspect(ctx context.Context, server *redis.Client) (Node, error) {
	// Redis 6.2 takes one section only, and without any it returns all that is needed.
	text, err := server.Info(ctx).Result()
	if err != nil {
		return Node{}, err
	}
	info := parseInfo(text)
	n := Node{Address: server.Options().Addr, Version: info["redis_version"], Eviction: info["maxmemory_policy"],
		Memory: natural(info["used_memory"]), MaxMemory: natural(info["maxmemory"]), Replicas: int(natural(info["connected_slaves"])),
		Evicted: natural(info["evicted_keys"]), Peak: natural(info["used_memory_peak"]), Startup: natural(info["used_memory_startup"]), Writes: info["aof_last_write_status"],
		Uptime: time.Duration(natural(info["uptime_in_seconds"])) * time.Second,
		Fork:   time.Duration(natural(info["latest_fork_usec"])) * time.Microsecond,
		CPU:    seconds(info["used_cpu_user"], info["used_cpu_sys"])}
	for i := range n.Replicas {
		if said := info[fmt.Sprintf("slave%d", i)]; said != "" && !strings.Contains(said, "state=online") {
			n.Behind = append(n.Behind, said)
		}
	}
	for name, keys := range info {
		if number, ok := strings.CutPrefix(name, "db"); ok && strings.HasPrefix(keys, "keys=") && number != strconv.Itoa(server.Options().DB) {
			n.OtherDatabases = append(n.OtherDatabases, name+":"+keys)
		}
	}
	slices.Sort(n.OtherDatabases)
	if n.Address == failoverAddr {
		id := info["run_id"]
		n.Address = "master " + id[:min(8, len(id))]
	}
	switch info["aof_enabled"] {
	case "1":
		n.AOF = "on"
	case "0":
		n.AOF = "off"
	}
	if s.noConfig.Load() {
		return n, nil
	}
	limits, err := server.ConfigGet(ctx, bufferLimit).Result()
	if err != nil {
		// Managed servers have no CONFIG, and refusals are in the server's log: do not ask again.
		var refused redis.Error
		s.noConfig.Store(errors.As(err, &refused))
		return n, nil
	}
	if _, of, ok := strings.Cut(limits[bufferLimit], "pubsub "); ok {
		n.PubSub = of
	}
	if pages, err := server.ConfigGet(ctx, noHugePages).Result(); err == nil {
		n.HugePages = pages[noHugePages] != "yes" // before 6.2 there is no such setting
	}
	return n, nil
}

// seconds returns the sum of what fields of INFO say in seconds, negative if one of them does not.
func seconds(fields ...string) (sum time.Duration) {
	for _, text := range fields {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return -1
		}
		sum += time.Duration(n * float64(time.Second))
	}
	return sum
}

// Time returns what the clock of Redis says; of a cluster, that of any of its servers.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask Redis for the time: %w", err)
	}
	return now, nil
}

const (
	bufferLimit = "client-output-buffer-limit"
	noHugePages = "disable-thp"
)

// inspectTimeout bounds the time in which all servers must answer.
const inspectTimeout = 2 * time.Second

// failoverAddr is what go-redis calls the address of a master that sentinels name.
const failoverAddr = "FailoverClient"

// parseInfo returns the fields of an answer to INFO.
func parseInfo(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// natural returns a number that is not negative, or -1.
func natural(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// String returns what is known of a node on one line.
func (n Node) String() string {
	known := func(text string) string { return cmp.Or(text, "unknown") }
	memory, replicas := "unknown", "unknown"
	if n.MaxMemory >= 0 {
		memory = strconv.FormatInt(n.MaxMemory, 10)
	}
	if n.Replicas >= 0 {
		replicas = strconv.Itoa(n.Replicas)
	}
	return fmt.Sprintf("redis %s: version %s, maxmemory %s, maxmemory-policy %s, appendonly %s, replicas %s, client-output-buffer-limit pubsub %s",
		n.Address, known(n.Version), memory, known(n.Eviction), known(n.AOF), replicas, known(n.PubSub))
}
