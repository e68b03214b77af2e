package doctor

import (
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/edge"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/testkit/world"
)

// measured is an installation with a real edge and publisher, whose admin port is another.
func measured(t *testing.T, handler func(http.Handler) http.Handler) (*exam, *world.World, []*url.URL) {
	t.Helper()
	log := storetest.NewMemory(store.Config{})
	w := world.Start(t, key, log, log, edge.Config{PollTimeout: 40 * time.Second, PingInterval: 25 * time.Second, Drain: time.Second})
	i := newInstallation(t)
	a := &admin{status: http.StatusOK, metrics: "pushgate_published_total 1\npushgate_connections_limit 40000\n" + edgeMetrics}
	o := i.options()
	o.Admin = []string{listen(t, handler(a)).Listener.Addr().String()}
	o.Publish = w.Publisher.URL + "/bitrix/pub/"
	e := &exam{Options: o, root: root(o.Root)}
	e.load()
	base, err := url.Parse(w.Edge.URL)
	if err != nil {
		t.Fatal(err)
	}
	return e, w, []*url.URL{base}
}

// TestMeasure: so many connections are made as are allowed, what they receive is counted, and none
// is left.
func TestMeasure(t *testing.T) {
	e, w, bases := measured(t, func(h http.Handler) http.Handler { return h })
	m, err := e.measure(t.Context(), ShortestMeasure, bases, nil)
	if err != nil || m.stop != stopNot && m.stop != stopLate {
		t.Fatalf("%v, %s %s", err, m.stop, m.stopSaw)
	}
	if m.stop == stopNot && (m.crowd.size() != mostOpened && m.took < ShortestMeasure || m.posts > 0 && m.deliveries > m.posts*crowdGroup) || m.before <= 0 {
		t.Errorf("%d connections in %s, %d posts, %d deliveries, %s before", m.crowd.size(), m.took, m.posts, m.deliveries, m.before)
	}
	testkit.Eventually(t, "no connection is left", func() bool {
		open, _ := testkit.Metric(t, w.Metrics, "pushgate_connections", "websocket")
		return open == 0
	})
}

// TestMeasureStops: a process that is not ready any more ends the measurement at once.
func TestMeasureStops(t *testing.T) {
	var connections atomic.Pointer[world.World]
	e, w, bases := measured(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w := connections.Load(); w != nil && r.URL.Path == "/readyz" {
				if open, _ := testkit.Metric(t, w.Metrics, "pushgate_connections", "websocket"); open > 20 {
					http.Error(rw, "full", http.StatusServiceUnavailable)
					return
				}
			}
			h.ServeHTTP(rw, r)
		})
	})
	connections.Store(w)
	const lasts = 20 * time.Second
	m, err := e.measure(t.Context(), lasts, bases, nil)
	if err != nil || m.stop != stopReady || !strings.Contains(m.stopSaw, "503 full") || m.took > lasts*3/4 || m.posts > 0 {
		t.Errorf("%v, %q %s after %s", err, m.stop, m.stopSaw, m.took)
	}
	if n := m.crowd.size(); n >= mostOpened/2 {
		t.Errorf("%d connections were opened", n)
	}
}

// TestJudge: messages that are later than before end the measurement.
func TestJudge(t *testing.T) {
	for latency, want := range map[time.Duration]stop{150 * time.Millisecond: stopNot, 300 * time.Millisecond: stopLate} {
		m := &measurement{before: 5 * time.Millisecond, crowd: &crowd{latencies: []time.Duration{latency, time.Millisecond}}}
		if m.judge(); m.stop != want {
			t.Errorf("%s: %q", latency, m.stop)
		}
	}
}

// TestMostConnections: no more than a part of what is free is taken.
func TestMostConnections(t *testing.T) {
	i := newInstallation(t)
	e := &exam{Options: i.options()}
	e.root, e.Portal = root(e.Root), "http://localhost"
	e.nginx = e.readNginx(t.Context()).conf
	free := sample{available: 1 << 34, processes: []process{{metrics: map[string]float64{isEdge: 1, "process_max_fds": 1e6}}}}
	for name, c := range map[string]struct {
		change func(*sample)
		want   int
	}{
		"nginx":       {func(*sample) {}, min(mostOpened, 32768*runtime.NumCPU()/2/20)},
		"descriptors": {func(s *sample) { s.processes[0].metrics["process_max_fds"] = 1000 }, 50},
		"the setting": {func(s *sample) { s.processes[0].metrics["pushgate_connections_limit"] = 400 }, 20},
		"those taken": {func(s *sample) {
			s.processes[0].metrics["pushgate_connections_limit"], s.processes[0].metrics["pushgate_connections"] = 400, 399
		}, 0},
		"memory": {func(s *sample) { s.available = 20 << 20 }, 16},
	} {
		now := free
		now.processes = []process{{metrics: map[string]float64{}}}
		for name, value := range free.processes[0].metrics {
			now.processes[0].metrics[name] = value
		}
		c.change(&now)
		if got, by := e.mostConnections(now); got > c.want || got < c.want/3 {
			t.Errorf("%s: %d (%s), want %d", name, got, by, c.want)
		}
	}
}

// TestLimits: what each limit allows, and which of them comes first.
func TestLimits(t *testing.T) {
	i := newInstallation(t)
	i.files["proc/100/cgroup"] = "0::/system.slice/edge.service\n"
	i.files["proc/101/cgroup"] = "0::/system.slice/edge.service\n"
	i.files["sys/fs/cgroup/system.slice/edge.service/memory.max"] = "100000000\n"
	i.files["sys/fs/cgroup/system.slice/edge.service/memory.current"] = "60000000\n"
	i.files["sys/fs/cgroup/system.slice/memory.max"] = "max\n"
	i.files["sys/fs/cgroup/system.slice/edge.service/memory.stat"] = "anon 1\ninactive_file 10000000\n"
	e := &exam{Options: i.options()}
	e.root = root(e.Root)
	e.programs = e.root.programs()
	e.nginx = e.readNginx(t.Context()).conf
	begin := time.Now()
	at := func(s int, published, delivered, cpu float64) sample {
		return sample{at: begin.Add(time.Duration(s) * time.Second), redis: 0, nginx: -1, nginxSize: -1, kernel: -1, available: 1 << 30, busy: 0,
			processes: []process{{address: "127.0.0.1:1", metrics: map[string]float64{isEdge: 1, isPublisher: published, "pushgate_delivered_total": delivered,
				"pushgate_connections": 1000, "process_max_fds": 20000, "process_cpu_seconds_total": cpu, "pushgate_memory_limit_bytes": 8 << 20,
				"pushgate_memory_used_bytes": 3 << 20, "process_resident_memory_bytes": 1 << 20, "process_start_time_seconds": float64(begin.Unix()) - 1000}}}}
	}
	full := at(20, 0, 0, 0)
	full.processes[0].metrics["pushgate_memory_used_bytes"] += 2000 * 500
	full.processes[0].metrics["process_resident_memory_bytes"] += 4000 * 500
	m := &measurement{exam: e, crowd: &crowd{conns: make([]*websocket.Conn, 501)}, quiet: span{at(0, 0, 0, 0), at(10, 1000, 5000, 0)}, base: at(15, 0, 0, 0), full: full, posts: 1000, deliveries: 10_000,
		open: span{at(15, 0, 0, 0), at(20, 0, 0, 0)}, posted: span{at(20, 0, 0, 0), at(30, 0, 0, 0.11)}, fanned: span{at(30, 0, 0, 0), at(40, 0, 0, 0.1)}}
	nodes := []store.Node{{Address: "a", Memory: 11 << 20, Peak: 11 << 20, Startup: 1 << 20, MaxMemory: 101 << 20, Uptime: 100 * time.Hour}}
	c := m.capacity(nodes)
	got := map[string]int64{}
	for _, l := range c.Limits {
		got[l.ID] = l.Users
	}
	for id, want := range map[string]int64{
		"descriptors":       20000,
		"edge_memory":       1000 + 3<<20/2000,
		"memory":            1000 + (1<<30)*9/10/4000,
		"cgroup":            1000 + 10_000, // 90 MB less 50 in use are 40 MB
		"nginx_connections": int64(32768 * runtime.NumCPU() / 2),
		"redis_memory":      8980, // 10 MB for 1000 users
	} {
		if got[id] < want*9/10 || got[id] > want*11/10 {
			t.Errorf("%s: %d users, want %d", id, got[id], want)
		}
	}
	// A user posts 0.1 times and receives 0.5 messages a second: 10 µs + 5 µs of a core.
	if got["cpu"] < 20_000 || c.Limits[0].ID != "edge_memory" {
		t.Errorf("%+v", c.Limits)
	}
}
