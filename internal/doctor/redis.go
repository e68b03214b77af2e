package doctor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"pushgate/internal/store"
)

var redisIDs = []string{"redis.answers", "redis.version", "redis.eviction", "redis.evicted", "redis.persistence", "redis.writes", "redis.replicas",
	"redis.buffer", "redis.limit", "redis.memory", "redis.latency", "redis.fork", "redis.shared", "redis.thp"}

// Bounds of what is well with Redis.
const (
	slowRedis     = 20 * time.Millisecond // for a command that does nothing
	slowFork      = 500 * time.Millisecond
	smallHard     = 8 << 20 // bytes of the output buffer of a subscriber
	smallSoft     = 2 << 20
	messagesLive  = 24 * time.Hour   // at most, by default
	enoughToGuess = 10 * time.Minute // of uptime, to say how memory grows
)

// redis looks at every server that holds portals.
func (e *exam) redis(ctx context.Context, s *sheet) {
	if e.faults != nil {
		s.unknown(noSettings, "", redisIDs...)
		return
	}
	client, err := store.Open(e.settings.RedisURL)
	if err != nil {
		s.add("redis.answers", Error, err.Error())
		s.unknown(noRedis, "", redisIDs...)
		return
	}
	defer client.Close()
	st := store.New(client, store.Config{})
	nodes, err := st.Inspect(ctx)
	if err != nil {
		s.add("redis.answers", Error, err.Error())
		s.unknown(noRedis, "", redisIDs...)
		return
	}
	for _, n := range nodes {
		s.add("redis.answers", OK, n.Address)
		judgeNode(s, n)
	}
	e.hugePages(s, nodes)
	latency(ctx, s, st)
}

// judgeNode judges what one server says of itself.
func judgeNode(s *sheet, n store.Node) {
	is := func(format string, args ...any) string { return n.Address + ": " + fmt.Sprintf(format, args...) }
	ids := map[string]string{store.RiskEviction: "redis.eviction", store.RiskPersistence: "redis.persistence", store.RiskVersion: "redis.version"}
	saw := map[string]string{store.RiskEviction: is("maxmemory-policy %s", n.Eviction), store.RiskVersion: is("version %s", n.Version),
		store.RiskPersistence: is("appendonly %s, replicas %d", n.AOF, n.Replicas)}
	for _, risk := range n.Risks() {
		s.check(ids[risk.Name], risk.Problem != "", Error, saw[risk.Name])
	}
	known := func(id string, known bool, wrong bool, bad State, evidence string) {
		if !known {
			s.unknown(redisSilent, n.Address, id)
			return
		}
		s.check(id, wrong, bad, evidence)
	}
	known("redis.evicted", n.Evicted >= 0, n.Evicted > 0, Error, is("evicted_keys %d", n.Evicted))
	known("redis.writes", n.Writes != "", n.Writes != "ok", Error, is("aof_last_write_status %s", n.Writes))
	known("redis.replicas", n.Replicas >= 0, len(n.Behind) > 0, Warning, is("replicas %d %s", n.Replicas, strings.Join(n.Behind, " ")))
	known("redis.limit", n.MaxMemory >= 0, n.MaxMemory == 0, Warning, is("maxmemory %d", n.MaxMemory))
	known("redis.fork", n.Fork >= 0, n.Fork > slowFork, Warning, is("latest_fork_usec %d", n.Fork.Microseconds()))
	s.check("redis.shared", len(n.OtherDatabases) > 0, Warning, is("%s", strings.Join(n.OtherDatabases, " ")))

	var hard, soft, seconds int64
	_, err := fmt.Sscanf(n.PubSub, "%d %d %d", &hard, &soft, &seconds)
	known("redis.buffer", err == nil, hard > 0 && hard < smallHard || soft > 0 && soft < smallSoft, Warning,
		is("client-output-buffer-limit pubsub %s", n.PubSub))

	expected := expectedMemory(n)
	state, used := OK, is("used_memory %d of maxmemory %d, within a day %d", n.Memory, n.MaxMemory, expected)
	switch {
	case n.MaxMemory <= 0 || n.Memory < 0:
		s.unknown(noLimit, n.Address, "redis.memory")
		return
	case n.Memory > n.MaxMemory/10*9:
		state = Error
	case expected > n.MaxMemory/4*3:
		state = Warning
	}
	s.add("redis.memory", state, used)
}

// expectedMemory returns how many bytes a server will use at today's rate. A message lives for a
// day at most: after that time, the peak is what a day needs. Before, memory still grows.
func expectedMemory(n store.Node) int64 {
	if n.Uptime >= messagesLive {
		return n.Peak
	}
	if n.Uptime < enoughToGuess {
		return n.Memory
	}
	return int64(float64(n.Memory) * messagesLive.Seconds() / n.Uptime.Seconds())
}

// latency measures how long a command takes that does nothing. Of ten, the third fastest counts, so
// that a moment in which this machine is busy does not.
func latency(ctx context.Context, s *sheet, st *store.Store) {
	const times = 10
	var took []time.Duration
	for range times {
		begin := time.Now()
		if _, err := st.Time(ctx); err != nil {
			s.add("redis.latency", Error, err.Error())
			return
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	s.check("redis.latency", took[2] > slowRedis, Warning, took[2].Round(10*time.Microsecond).String())
}

// hugePages looks at a setting of this machine that matters if Redis runs on it. Redis of 6.2 or
// later switches it off for itself, unless told not to.
func (e *exam) hugePages(s *sheet, nodes []store.Node) {
	const name = "sys/kernel/mm/transparent_hugepage/enabled"
	for _, n := range nodes {
		host, _, _ := net.SplitHostPort(n.Address)
		if !strings.HasPrefix(n.Address, "/") && host != "localhost" && !net.ParseIP(host).IsLoopback() {
			s.unknown(redisElsewhere, n.Address, "redis.thp")
			continue
		}
		text, err := e.root.read(name)
		if err != nil {
			s.unknown(noFile, err.Error(), "redis.thp")
			continue
		}
		always := strings.Contains(text, "[always]")
		s.check("redis.thp", always && n.HugePages, Warning, "/"+name+": "+strings.TrimSpace(text))
	}
}
