package doctor

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"pushgate/internal/store"
)

// nginx is about its connections and descriptors: a user takes two of each.
func (c *capacity) nginx() {
	if c.e.nginx == nil {
		c.unknown("nginx_connections", c.e.nginxWhy, c.e.nginxText)
		c.unknown("nginx_descriptors", c.e.nginxWhy, "")
		return
	}
	each, workers, files := c.e.nginxSizes()
	c.limit("nginx_connections", float64(each*workers)/2, fmt.Sprintf("worker_connections %d × worker_processes %d / 2", each, workers))
	saw := "worker_rlimit_nofile"
	if files == 0 {
		files, saw = c.e.workerFiles(), "Max open files"
	}
	if files == 0 {
		c.unknown("nginx_descriptors", noWorker, "")
		return
	}
	c.limit("nginx_descriptors", float64(files*workers)/2, fmt.Sprintf("%s %d × worker_processes %d / 2", saw, files, workers))
}

// portsOfUpstreams returns how many connections nginx can have to the edges, each of which needs a
// port of its own for every edge; 0 if they need none, or it is not known.
func (e *exam) portsOfUpstreams() int64 {
	n := e.root.numbers("proc/sys/net/ipv4/ip_local_port_range")
	if e.nginx == nil || len(n) != 2 || n[1] < n[0] {
		return 0
	}
	var total int64
	for _, address := range e.nginx.addressesOf(e.nginx.routes.subscribers()) {
		if strings.HasPrefix(address, "unix:") {
			return 0
		}
		total += n[1] - n[0] + 1
	}
	return total
}

func (c *capacity) ports() {
	if c.e.nginx == nil {
		c.unknown("ports", c.e.nginxWhy, "")
		return
	}
	n := c.e.root.numbers("proc/sys/net/ipv4/ip_local_port_range")
	if len(n) != 2 {
		c.unknown("ports", noFile, "/proc/sys/net/ipv4/ip_local_port_range")
		return
	}
	if ports := c.e.portsOfUpstreams(); ports > 0 {
		c.limit("ports", float64(ports), fmt.Sprintf("net.ipv4.ip_local_port_range = %d %d × %d edges", n[0], n[1], ports/(n[1]-n[0]+1)))
	}
}

// conntrack is about the table of connections that a firewall keeps: with nginx, a user has two.
func (c *capacity) conntrack() {
	const dir = "proc/sys/net/netfilter/"
	count, most := c.e.root.numbers(dir+"nf_conntrack_count"), c.e.root.numbers(dir+"nf_conntrack_max")
	if len(count) == 0 || len(most) == 0 {
		return // nothing is tracked
	}
	c.limit("conntrack", c.users+float64(most[0]-count[0])/2, fmt.Sprintf("nf_conntrack_max %d, nf_conntrack_count %d, 2 a user", most[0], count[0]))
}

// cgroups is about the limits of memory of units and containers.
func (c *capacity) cgroups() {
	each, saw := c.perUser()
	all, groups := 0, map[string]int{}
	for _, p := range c.e.programs {
		if !p.ours() || strings.Contains(p.name, "publis") {
			continue
		}
		all++
		text, _ := c.e.root.read("proc/" + p.pid + "/cgroup")
		for line := range strings.Lines(text) {
			name, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
			for name = path.Clean(name); ok; name = path.Dir(name) {
				groups[name]++
				if name == "." || name == "/" {
					break
				}
			}
		}
	}
	for name, edges := range groups {
		dir := path.Join("sys/fs/cgroup", name)
		most := c.e.root.numbers(dir + "/memory.max") // none if it is "max"
		used := c.e.root.numbers(dir + "/memory.current")
		if len(most) == 0 || len(used) == 0 {
			continue
		}
		evidence := fmt.Sprintf("/%s: memory.max %s, memory.current %s", dir, size(float64(most[0])), size(float64(used[0])))
		if c.Costs.ResidentBytes <= 0 {
			c.unknown("cgroup", tooFew, evidence)
			continue
		}
		room := max(0, float64(most[0])*useMemory-float64(used[0]-c.e.cached(dir)))
		c.limit("cgroup", c.users+room/each*float64(all)/float64(edges), evidence, saw)
	}
}

// cached returns the bytes of files that a group would give up before it runs out of memory.
func (e *exam) cached(dir string) int64 {
	text, _ := e.root.read(dir + "/memory.stat")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "inactive_file "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// redis is about the memory of each server at today's mix of traffic.
func (c *capacity) redis(nodes []store.Node) {
	for _, n := range nodes {
		saw := fmt.Sprintf("%s: maxmemory %s, within a day %s, when empty %s", n.Address, size(float64(n.MaxMemory)), size(float64(expectedMemory(n))), size(float64(n.Startup)))
		needed := float64(expectedMemory(n) - n.Startup)
		switch {
		case n.MaxMemory <= 0 || n.Startup < 0 || n.Memory < 0:
			c.unknown("redis_memory", noLimit, n.Address)
		case c.users < fewUsers || needed <= 0:
			c.unknown("redis_memory", nobody, saw)
		default:
			c.limit("redis_memory", c.users*(float64(n.MaxMemory)*useMemory-float64(n.Startup))/needed, saw, fmt.Sprintf("%.0f users", c.users))
		}
	}
	if len(nodes) == 0 {
		c.unknown("redis_memory", noRedis, "")
	}
}
