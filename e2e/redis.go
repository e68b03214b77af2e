package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Shape is the kind of Redis installation of a [World].
type Shape int

// The shapes.
const (
	Single          Shape = iota // one server, at a unix socket
	Sentinels                    // a master and its replica, watched by three sentinels
	Cluster                      // three nodes that share the keys
	ClusterReplicas              // likewise, with a replica of each
)

// String returns the name of the shape.
func (s Shape) String() string {
	return [...]string{"single", "sentinel", "cluster", "cluster+replicas"}[s]
}

// ports returns how many ports a shape needs.
func (s Shape) ports() int { return [...]int{0, 5, 6, 12}[s] }

// masterName is the sentinels' name for the master.
const masterName = "main"

// slots is the number of hash slots of a cluster.
const slots = 16384

// startRedis runs Redis, and returns the URL by which the programs find it.
func (w *World) startRedis(ctx context.Context, o Options, next func() string) (url string, err error) {
	switch o.Redis {
	case Single:
		return w.startSingle(ctx, o)
	case Sentinels:
		return w.startSentinels(ctx, o, next)
	default:
		return w.startCluster(ctx, o, next)
	}
}

// server makes one Redis server with its own directory.
func (w *World) server(o Options, name, addr string, args ...string) (*Process, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	aof := "no"
	if o.AOF {
		aof = "yes"
	}
	p := &Process{Name: name, Addr: addr, world: w}
	p.argv = append(append([]string{"redis-server"}, where(addr)...), append([]string{"--dir", dir, "--maxmemory", "256mb",
		"--maxmemory-policy", "noeviction", "--save", "", "--appendonly", aof, "--repl-diskless-sync-delay", "0"}, args...)...)
	p.ready = func(ctx context.Context) error {
		answer, err := p.Command(ctx, "PING")
		if err == nil && answer != "PONG" {
			err = fmt.Errorf("redis says %q", answer)
		}
		return err
	}
	w.Servers = append(w.Servers, p)
	w.Redis = w.Servers[0]
	return p, nil
}

// where returns a server's options for its address.
func where(addr string) []string {
	if strings.HasPrefix(addr, "/") {
		return []string{"--port", "0", "--unixsocket", addr}
	}
	host, port, _ := net.SplitHostPort(addr)
	return []string{"--bind", host, "--port", port}
}

// Command sends a command to a Redis server or sentinel. An error in the answer is returned as an
// error.
func (p *Process) Command(ctx context.Context, words ...string) (answer string, err error) {
	at := []string{"-e", "-s", p.Addr}
	if !strings.HasPrefix(p.Addr, "/") {
		host, port, _ := net.SplitHostPort(p.Addr)
		at = []string{"-e", "-h", host, "-p", port}
	}
	out, err := exec.CommandContext(ctx, "redis-cli", append(at, words...)...).CombinedOutput()
	answer = strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", p.Name, strings.Join(words, " "), err, answer)
	}
	return answer, err
}

// says returns nil if the answer of a server to a command has a text in it.
func (p *Process) says(ctx context.Context, text string, words ...string) error {
	answer, err := p.Command(ctx, words...)
	if err == nil && !strings.Contains(answer, text) {
		err = fmt.Errorf("%s: no %q in what it says to %q", p.Name, text, words)
	}
	return err
}

func (w *World) startSingle(ctx context.Context, o Options) (url string, err error) {
	p, err := w.server(o, "redis", filepath.Join(w.dir, "redis.sock"))
	if err != nil {
		return "", err
	}
	return "unix://" + p.Addr, p.Start(ctx)
}

func (w *World) startSentinels(ctx context.Context, o Options, next func() string) (url string, err error) {
	master, err := w.server(o, "redis-0", next())
	if err != nil {
		return "", err
	}
	host, port, _ := net.SplitHostPort(master.Addr)
	replica, err := w.server(o, "redis-1", next(), "--replicaof", host+" "+port)
	if err != nil {
		return "", err
	}
	for _, p := range w.Servers {
		if err := p.Start(ctx); err != nil {
			return "", err
		}
	}
	if err := replica.Await(ctx, func(ctx context.Context) error {
		return replica.says(ctx, "master_link_status:up", "INFO", "replication")
	}); err != nil {
		return "", err
	}
	var addrs []string
	for i := range 3 {
		p, err := w.sentinel(fmt.Sprintf("sentinel-%d", i), next(), host, port)
		if err != nil {
			return "", err
		}
		if err := p.Start(ctx); err != nil {
			return "", err
		}
		addrs = append(addrs, p.Addr)
	}
	for _, p := range w.Sentinels {
		if err := p.Await(ctx, func(ctx context.Context) error {
			return p.says(ctx, "slaves=1,sentinels=3", "INFO", "sentinel")
		}); err != nil {
			return "", err
		}
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + masterName, nil
}

func (w *World) sentinel(name, addr, masterHost, masterPort string) (*Process, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "sentinel.conf") // it writes there what it learns
	text := fmt.Sprintf("dir %[1]s\nsentinel monitor %[2]s %[3]s %[4]s 2\nsentinel down-after-milliseconds %[2]s 1000\nsentinel failover-timeout %[2]s 3000\n",
		dir, masterName, masterHost, masterPort)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p := &Process{Name: name, Addr: addr, world: w, argv: append([]string{"redis-server", config, "--sentinel"}, where(addr)...)}
	p.ready = func(ctx context.Context) error {
		_, err := p.Command(ctx, "PING")
		return err
	}
	w.Sentinels = append(w.Sentinels, p)
	return p, nil
}

// Master returns the server that is the master according to the sentinels.
func (w *World) Master(ctx context.Context) (*Process, error) {
	answer, err := w.Sentinels[0].Command(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(fields(answer))
	for _, p := range w.Servers {
		if p.Addr == addr {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the sentinels name %s, which is none of the servers", addr)
}

func fields(answer string) (host, port string) {
	words := strings.Fields(answer)
	if len(words) != 2 {
		return "", ""
	}
	return words[0], words[1]
}

func (w *World) startCluster(ctx context.Context, o Options, next func() string) (url string, err error) {
	const masters = 3
	count := masters
	if o.Redis == ClusterReplicas {
		count *= 2
	}
	var addrs, buses []string
	for i := range count {
		addr := next()
		_, bus, _ := net.SplitHostPort(next())
		p, err := w.server(o, fmt.Sprintf("redis-%d", i), addr, "--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
		if err != nil {
			return "", err
		}
		if err := p.Start(ctx); err != nil {
			return "", err
		}
		addrs, buses = append(addrs, addr), append(buses, bus)
	}
	for i, p := range w.Servers {
		_, err = p.Command(ctx, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		if i < masters && err == nil {
			_, err = p.Command(ctx, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*slots/masters), fmt.Sprint((i+1)*slots/masters-1))
		}
		if host, port, _ := net.SplitHostPort(p.Addr); i > 0 && err == nil {
			_, err = w.Redis.Command(ctx, "CLUSTER", "MEET", host, port, buses[i])
		}
		if err != nil {
			return "", err
		}
	}
	if err := w.awaitCluster(ctx, fmt.Sprintf("cluster_known_nodes:%d", count)); err != nil {
		return "", err
	}
	for i, replica := range w.Servers[masters:] {
		id, err := w.Servers[i].Command(ctx, "CLUSTER", "MYID")
		if err != nil {
			return "", err
		}
		if err := replica.Await(ctx, func(ctx context.Context) error {
			if _, err := replica.Command(ctx, "CLUSTER", "REPLICATE", id); err != nil {
				return err
			}
			return replica.says(ctx, "master_link_status:up", "INFO", "replication")
		}); err != nil {
			return "", err
		}
	}
	return "redis+cluster://" + strings.Join(addrs, ","), nil
}

// awaitCluster returns when all nodes report that the cluster works, and also a given text.
func (w *World) awaitCluster(ctx context.Context, besides string) error {
	for _, p := range w.Servers {
		if err := p.Await(ctx, func(ctx context.Context) error {
			return errors.Join(p.says(ctx, "cluster_state:ok", "CLUSTER", "INFO"), p.says(ctx, besides, "CLUSTER", "INFO"))
		}); err != nil {
			return err
		}
	}
	return nil
}
