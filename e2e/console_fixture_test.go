package e2e

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/config"
	"pushgate/internal/console"
	"pushgate/internal/proto"
)

// hostileName is what a name may be that an attacker has chosen.
const hostileName = `<img src=x onerror="document.title='owned'">` + "\u202e" + `"'>{{7*7}}</td><script>document.title='owned'</script>`

// object is one of JSON.
type object = map[string]any

// adminPort is an admin port with answers of its own, behind the real guard and with the real
// console. What is not in it is answered 404.
type adminPort struct {
	URL string

	mu      sync.Mutex
	answers map[string]func(*http.Request) any // by path below /admin/; an int is a status
	asked   []string                           // "METHOD path?query"
	acts    []proto.Act
	now     int // requests under way
	most    int // of them at a time
}

// startAdminPort serves one until the test ends.
func startAdminPort(t *testing.T) *adminPort {
	f := &adminPort{answers: map[string]func(*http.Request) any{}}
	routes := console.Routes()
	for _, r := range []struct {
		pattern string
		role    admin.Role
		audit   string
	}{
		{"GET history", admin.Open, ""}, {"GET portals", admin.Open, ""}, {"GET redis", admin.View, ""},
		{"GET explain", admin.View, ""}, {"POST explain/body", admin.Act, "explain body"}, {"GET trace", admin.View, ""},
		{"GET revocations", admin.View, ""}, {"POST revoke", admin.Act, "revoke"}, {"POST restore", admin.Act, "restore"}, {"GET doctor", admin.View, ""},
	} {
		method, path, _ := strings.Cut(r.pattern, " ")
		routes = append(routes, admin.Route{Pattern: method + " /admin/" + path, Role: r.role, Handler: http.HandlerFunc(f.serve), Audit: r.audit})
	}
	guard := admin.NewGuard(admin.Config{Process: "edge-0", Tokens: []admin.Token{{Name: "vera", Role: admin.View, Secret: adminView}, {Name: "anna", Role: admin.Act, Secret: adminAct}},
		Audit: f, Level: new(slog.LevelVar), Logger: slog.New(slog.DiscardHandler), Drain: func(string) {}, Routes: routes,
		Settings: []config.Setting{{Name: "PUSHGATE_KEYS", Value: "1 redacted"}, {Name: "PUSHGATE_DRAIN", Value: "20s", Default: "10s"}, {Name: "PUSHGATE_HOSTS", Value: hostileName}}}, prometheus.NewRegistry())
	port := http.NewServeMux()
	port.HandleFunc("GET /admin/processes", f.serve) // instead of the guard's, which knows one
	port.Handle("/", admin.Handler(func() error { return nil }, nil, prometheus.NewRegistry(), guard))
	server := httptest.NewServer(port)
	t.Cleanup(server.Close)
	f.URL = server.URL + "/admin/"
	return f
}

func (f *adminPort) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.asked = append(f.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	answer := f.answers[strings.TrimPrefix(r.URL.Path, "/admin/")]
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
	}()
	var value any = http.StatusNotFound
	if answer != nil {
		value = answer(r)
	}
	switch v := value.(type) {
	case int:
		http.Error(w, "the fixture says so", v)
	case string:
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, v)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

// answer sets what a path answers from now on.
func (f *adminPort) answer(path string, value any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = func(*http.Request) any { return value }
	if of, ok := value.(func(*http.Request) any); ok {
		f.answers[path] = of
	}
}

// questions returns how many requests began with a text.
func (f *adminPort) questions(start string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.asked {
		if strings.HasPrefix(line, start) {
			n++
		}
	}
	return n
}

// RecordAct implements [admin.AuditLog].
func (f *adminPort) RecordAct(_ context.Context, act proto.Act) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts = slices.Insert(f.acts, 0, act)
	return nil
}

// Acts implements [admin.AuditLog].
func (f *adminPort) Acts(_ context.Context, n int) ([]proto.Act, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acts[:min(n, len(f.acts))]), nil
}

// process returns one as /admin/processes has it.
func process(id, kind string) object {
	p := object{"id": id, "kind": kind, "version": "0.9.0", "commit": "e846f64c0ffee", "host": "push-1", "pid": 4711, "started": time.Now().Add(-51 * time.Hour).UnixMilli(),
		"memory_bytes": 188 << 20, "goroutines": 61, "descriptors": 4200, "descriptors_limit": 65536, "ready": true, "reason": "", "draining": false, "log_level": "info", "clock_ms": 2,
		"connections": object{"websocket": 0, "poll": 0, "stream": 0}, "channels": 0}
	if kind != "publisher" {
		p["connections"], p["channels"] = object{"websocket": 3871, "poll": 214, "stream": 8}, 9120
	}
	return p
}

// with returns an object with other values.
func with(o object, pairs ...any) object {
	for i := 0; i < len(pairs); i += 2 {
		o[pairs[i].(string)] = pairs[i+1]
	}
	return o
}

// processesAnswer returns an answer of /admin/processes.
func processesAnswer(processes []object, silent ...string) object {
	return object{"now": time.Now().UnixMilli(), "self": "edge-0", "processes": processes, "silent": append([]string{}, silent...), "error": ""}
}

// historyAnswer returns an answer of /admin/history with curves that look like a day at work.
func historyAnswer(r *http.Request) any {
	step, n := 10*time.Second, 360
	if r.URL.Query().Get("span") == "day" {
		step, n = 5*time.Minute, 288
	}
	var times []int64
	series := map[string][]any{}
	add := func(name string, value float64) { series[name] = append(series[name], value) }
	for i := range n {
		times = append(times, time.Now().Add(-time.Duration(n-i)*step).UnixMilli())
		x := float64(i) / float64(n)
		wave := 1 + 0.25*math.Sin(7*x) + 0.04*math.Sin(97*x) + 0.02*math.Sin(411*x)
		add("connections_websocket", math.Round(7700*wave))
		add("connections_poll", math.Round(430*wave))
		add("connections_stream", 16)
		add("channels", math.Round(18200*wave))
		add("published", 61*wave*wave)
		add("delivered", 2400*wave*wave)
		add("replayed", 3*math.Max(0, math.Sin(23*x)))
		add("gaps", 0)
		for name, value := range map[string]float64{"publish_to_send": 1.4, "publish_to_ack": 38, "redis_trip": 0.32} {
			add(name+"_p50", value*wave)
			add(name+"_p99", value*(3+2*math.Abs(math.Sin(61*x)))*wave)
		}
		add("ends_client_closed", 2.1*wave)
		add("ends_replaced", 0.3*wave)
		add("ends_slow", 0.05*math.Max(0, math.Sin(40*x)))
		add("ends_drain", 0)
		add("refused_signature", 0.02*math.Max(0, math.Sin(31*x)))
		add("refused_full", 0)
		add("portal_calls_4010", 0.1*math.Max(0, math.Sin(9*x)))
		add("memory_bytes", (401<<20)*wave)
		add("cpu", 0.31*wave)
	}
	for _, values := range series { // the process was not there
		for i := n / 5; i < n/5+n/30; i++ {
			values[i] = nil
		}
	}
	return object{"step_ms": step.Milliseconds(), "times": times, "series": series}
}
