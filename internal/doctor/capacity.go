package doctor

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"pushgate/internal/store"
)

// Capacity says how many users an installation holds at the same time, from what a few have cost.
// A user is a connection: who has two tabs open counts twice.
type Capacity struct {
	Users   int64   // connected when the measurement began
	Limits  []Limit // what allows the fewest users first
	Unknown []Unclear
	Costs   Costs
}

// Limit is one thing that gives way when there are too many users.
type Limit struct {
	ID       string // such as "descriptors"; its texts are in the table of texts_capacity.go
	Users    int64  // that it allows
	Evidence []string
}

// Unclear is a limit of which it is not known how many users it allows, and why.
type Unclear struct {
	ID       string
	Evidence string
	why      reason
}

// Costs is what was measured. A number that is not known is negative.
type Costs struct {
	Opened  int           // connections that were opened
	Took    time.Duration // for everything
	Bounded string        // what bounds the connections that may be opened
	Stopped stop          // why it ended early; "" if it did not
	Saw     string        // evidence of that

	EdgeBytes     float64 // of a connection in an edge, without garbage
	ResidentBytes float64 // the same with garbage
	NginxBytes    float64
	KernelBytes   float64 // with the ends of the doctor's own
	ConnectCPU    time.Duration
	PostCPU       time.Duration // with its delivery to one user
	DeliveryCPU   time.Duration // of one message to one of many users
	RedisCPU      time.Duration // of a post
	P99Before     time.Duration // from a post to its receipt, with one connection
	P99           time.Duration // the same, at worst
	Left          int64         // connections that the edges still counted at the end
}

// Parts of what there is that may be used.
const (
	useMemory  = 0.9
	useEdge    = 0.75 // above it an edge refuses subscribers
	useCPU     = 0.8
	fewUsers   = 10 // of whom a mix of traffic can be told
	crowdedNow = 0.8
)

// costs returns what was measured.
func (m *measurement) costs() Costs {
	// The kernel counts the CPU time of programs in ticks: what is less counts as one.
	c := Costs{Opened: m.crowd.size(), Took: m.took, Bounded: m.bounded, Stopped: m.stop, Saw: m.stopSaw, P99Before: m.before, P99: m.last, Left: int64(m.left),
		EdgeBytes: -1, ResidentBytes: -1, NginxBytes: -1, KernelBytes: -1, ConnectCPU: -1, PostCPU: -1, DeliveryCPU: -1, RedisCPU: -1}
	if c.Opened >= enough && len(m.full.processes) > 0 {
		each := func(to, from float64) float64 {
			if from < 0 || to <= from {
				return -1
			}
			return (to - from) / float64(c.Opened-1)
		}
		from, to := m.base, m.full
		c.EdgeBytes = each(to.edges("pushgate_memory_used_bytes"), from.edges("pushgate_memory_used_bytes"))
		if c.EdgeBytes < leastBytes {
			c.EdgeBytes = -1
		}
		c.ResidentBytes = max(c.EdgeBytes, each(to.edges("process_resident_memory_bytes"), from.edges("process_resident_memory_bytes")))
		if c.ResidentBytes < leastBytes {
			c.ResidentBytes = -1
		}
		c.NginxBytes = each(to.nginxSize, from.nginxSize)
		c.KernelBytes = each(to.kernel, from.kernel)
		c.ConnectCPU = max(tick/time.Duration(c.Opened), m.cpu(m.open, sample.all, c.Opened))
	}
	if m.posts > 0 {
		c.PostCPU = max(tick/time.Duration(m.posts), m.cpu(m.posted, sample.all, m.posts))
		c.RedisCPU = m.cpu(m.posted, func(s sample) time.Duration { return s.redis }, m.posts)
	}
	if m.deliveries > 0 {
		c.DeliveryCPU = max(tick/time.Duration(m.deliveries), m.cpu(m.fanned, sample.serving, m.deliveries))
	}
	return c
}

// all returns the CPU time of everything that is known.
func (s sample) all() time.Duration { return s.cpu("") + max(0, s.redis) + max(0, s.nginx) }

// serving returns the CPU time of what deliveries need.
func (s sample) serving() time.Duration { return s.cpu(isEdge) + max(0, s.nginx) }

// cpu returns the CPU time of each of n events in a span, beyond what is used without them.
func (m *measurement) cpu(s span, of func(sample) time.Duration, n int) time.Duration {
	if of(s.from) < 0 || len(s.to.processes) == 0 {
		return -1
	}
	idle := float64(of(m.quiet.to)-of(m.quiet.from)) / m.quiet.seconds()
	used := of(s.to) - of(s.from) - time.Duration(idle*s.seconds())
	return max(used, 0) / time.Duration(n)
}

// capacity computes what each limit allows.
func (m *measurement) capacity(nodes []store.Node) *Capacity {
	c := &capacity{Capacity: Capacity{Costs: m.costs()}, e: m.exam, now: m.quiet.to, m: m}
	c.users = c.now.connections()
	c.Users = int64(c.users)
	c.connections()
	c.edgeMemory()
	c.machineMemory()
	c.cgroups()
	c.nginx()
	c.ports()
	c.conntrack()
	c.cpu()
	c.redis(nodes)
	slices.SortStableFunc(c.Limits, func(a, b Limit) int { return cmp.Compare(a.Users, b.Users) })
	// Of several places, such as servers of Redis, the one that gives way first counts.
	seen := map[string]bool{}
	c.Limits = slices.DeleteFunc(c.Limits, func(l Limit) bool { again := seen[l.ID]; seen[l.ID] = true; return again })
	c.Unknown = slices.DeleteFunc(c.Unknown, func(u Unclear) bool { again := seen[u.ID]; seen[u.ID] = true; return again })
	return &c.Capacity
}

// capacity is a Capacity that is being computed.
type capacity struct {
	Capacity
	e     *exam
	m     *measurement
	now   sample
	users float64 // connected now
}

func (c *capacity) limit(id string, users float64, evidence ...string) {
	c.Limits = append(c.Limits, Limit{id, int64(math.Min(max(users, 0), 1e12)), evidence})
}

func (c *capacity) unknown(id string, why reason, evidence string) {
	c.Unknown = append(c.Unknown, Unclear{id, evidence, why})
}

// edges returns the processes that serve subscribers.
func (s sample) serve() (all []process) {
	for _, p := range s.processes {
		if p.is(isEdge) {
			all = append(all, p)
		}
	}
	return all
}

// connections is about what each edge may hold. It refuses the next one.
func (c *capacity) connections() {
	id, total := "descriptors", 0.0
	var saw []string
	for _, p := range c.now.serve() {
		limit, files := p.metrics["pushgate_connections_limit"], p.metrics["process_max_fds"]
		// By default it is nine tenths of the descriptors, three quarters of that in a process
		// which publishes, too.
		part := 0.89
		if p.is(isPublisher) {
			part = 0.66
		}
		if limit > 0 && (files == 0 || limit < part*files-16) {
			id = "connections"
		}
		total += p.most()
		saw = append(saw, fmt.Sprintf("%s: pushgate_connections_limit %.0f, process_max_fds %.0f", p.address, limit, files))
	}
	if total == 0 {
		c.unknown(id, noMetric, "")
		return
	}
	c.limit(id, total, saw...)
}

// edgeMemory is about the memory that each edge allows itself.
func (c *capacity) edgeMemory() {
	total, without, lacks := 0.0, 0, false
	var saw []string
	for _, p := range c.now.serve() {
		limit, used := p.metrics["pushgate_memory_limit_bytes"], p.metrics["pushgate_memory_used_bytes"]
		lacks = lacks || !p.is("pushgate_memory_limit_bytes")
		if limit == 0 {
			without++ // and it takes what the others refuse
		}
		total += p.metrics["pushgate_connections"] + max(0, limit*useEdge-used)/c.Costs.EdgeBytes
		saw = append(saw, fmt.Sprintf("%s: %s of %s × %.2f in use, %s a connection (%d measured)", p.address, size(used), size(limit), useEdge, size(c.Costs.EdgeBytes), c.Costs.Opened))
	}
	switch {
	case lacks:
		c.unknown("edge_memory", noMetric, "pushgate_memory_limit_bytes")
	case without > 0:
	case c.Costs.EdgeBytes <= 0:
		c.unknown("edge_memory", tooFew, c.few())
	default:
		c.limit("edge_memory", total, saw...)
	}
}

// few says how many connections were opened, and why not more.
func (c *capacity) few() string { return fmt.Sprintf("%d (%s)", c.Costs.Opened, c.Costs.Bounded) }

// local reports whether all edges run on this machine.
func (c *capacity) local() bool {
	for _, p := range c.now.serve() {
		host, _, _ := net.SplitHostPort(p.address)
		if !strings.HasPrefix(p.address, "unix:") && host != "localhost" && !net.ParseIP(host).IsLoopback() && len(c.e.Admin) > 0 {
			return false
		}
	}
	return true
}

// perUser returns the bytes that a user takes of this machine, and what they consist of.
func (c *capacity) perUser() (bytes float64, saw string) {
	saw = fmt.Sprintf("edge %s", size(c.Costs.ResidentBytes))
	bytes = c.Costs.ResidentBytes
	for _, part := range []struct {
		name  string
		bytes float64
	}{{"nginx", c.Costs.NginxBytes}, {"kernel", c.Costs.KernelBytes}} {
		if part.bytes > 0 {
			bytes += part.bytes
			saw += fmt.Sprintf(" + %s %s", part.name, size(part.bytes))
		}
	}
	return bytes, saw + fmt.Sprintf(" a connection (%d measured)", c.Costs.Opened)
}

func (c *capacity) machineMemory() {
	each, saw := c.perUser()
	switch {
	case !c.local():
		c.unknown("memory", elsewhere, "")
	case c.now.available < 0:
		c.unknown("memory", noFile, "/proc/meminfo")
	case c.Costs.ResidentBytes <= 0:
		c.unknown("memory", tooFew, c.few())
	default:
		c.limit("memory", c.users+c.now.available*useMemory/each, fmt.Sprintf("MemAvailable %s × %.1f", size(c.now.available), useMemory), saw)
	}
}

// cpu is about the processors at today's mix of traffic.
func (c *capacity) cpu() {
	posts, deliveries := c.rates()
	cost := c.Costs
	switch {
	case !c.local():
		c.unknown("cpu", elsewhere, "")
		return
	case c.now.busy < 0:
		c.unknown("cpu", noFile, "/proc/stat")
		return
	case cost.PostCPU < 0 || cost.DeliveryCPU < 0:
		c.unknown("cpu", notMeasured, "")
		return
	case c.users < fewUsers || posts+deliveries == 0:
		c.unknown("cpu", nobody, c.traffic())
		return
	}
	cores := float64(runtime.NumCPU())
	busy := (c.now.busy - c.m.quiet.from.busy).Seconds() / c.m.quiet.seconds()
	// The cost of a post has a delivery in it.
	each := posts*max(0, cost.PostCPU-cost.DeliveryCPU).Seconds() + deliveries*cost.DeliveryCPU.Seconds()
	c.limit("cpu", c.users+max(0, cores*useCPU-busy)/each, fmt.Sprintf("%.0f cores × %.1f, %.2f in use", cores, useCPU, busy), c.traffic())
	if cost.RedisCPU > 0 && posts > 0 {
		c.limit("redis_cpu", useCPU/(posts*cost.RedisCPU.Seconds()), fmt.Sprintf("1 core × %.1f, %s a post (%d measured)", useCPU, brief(cost.RedisCPU), c.m.posts), c.traffic())
	}
}

// rates returns how many messages a second each user that is connected causes: posts and
// deliveries. It is the higher one of the rate now and of the rate since the start of the programs.
func (c *capacity) rates() (posts, deliveries float64) {
	rate := func(metric, of string) float64 {
		since := 0.0
		for _, p := range c.now.processes {
			if lasted := float64(c.now.at.Unix()) - p.metrics["process_start_time_seconds"]; p.is(of) && lasted > 0 {
				since += p.metrics[metric] / lasted
			}
		}
		lately := (c.now.sum(metric, of) - c.m.quiet.from.sum(metric, of)) / c.m.quiet.seconds()
		return max(since, lately) / max(1, c.users)
	}
	return rate("pushgate_published_total", isPublisher), rate("pushgate_delivered_total", isEdge)
}

// traffic says what each user causes.
func (c *capacity) traffic() string {
	posts, deliveries := c.rates()
	return fmt.Sprintf("%.4g posts and %.4g deliveries a second of each of %.0f; a post %s, a delivery %s", posts, deliveries, c.users, brief(c.Costs.PostCPU), brief(c.Costs.DeliveryCPU))
}

func brief(d time.Duration) string {
	if d < 0 {
		return "?"
	}
	return d.Round(100 * time.Nanosecond).String()
}

// size returns bytes for people.
func size(bytes float64) string {
	switch {
	case bytes < 0:
		return "?"
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GB", bytes/(1<<30))
	case bytes >= 10<<20:
		return fmt.Sprintf("%.0f MB", bytes/(1<<20))
	}
	return fmt.Sprintf("%.0f bytes", bytes)
}
