package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// monitor is a Prometheus that scrapes a world.
type monitor struct {
	*Process
	t *testing.T
}

// startMonitor starts a Prometheus with the rules of deploy/ that scrapes all programs of a world
// each second.
func startMonitor(t *testing.T, w *World, program string) monitor {
	t.Helper()
	ports, block, err := takePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { block.Close() })
	var targets []string
	for _, p := range append(w.Edges, w.Publishers...) {
		targets = append(targets, strings.TrimPrefix(p.Admin, "http://"))
	}
	list, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(w.dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: pushgate\n    static_configs: [{targets: %s}]\n",
		filepath.Join(Repository(), "deploy/prometheus/rules.yml"), list)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	p := &Process{Name: "prometheus", Addr: addr, world: w,
		argv:  []string{program, "--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(w.dir, "prometheus"), "--web.listen-address=" + addr},
		ready: func(ctx context.Context) error { _, err := get(ctx, "http://"+addr+"/-/ready"); return err }}
	t.Cleanup(p.Kill)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return monitor{p, t}
}

// ask asks the API of Prometheus, and decodes its data.
func (m monitor) ask(path string, query url.Values, data any) {
	m.t.Helper()
	var answer struct {
		Status, Error string
		Data          any
	}
	answer.Data = data
	status, text, err := m.world.Do(m.t.Context(), http.MethodGet, "http://"+m.Addr+path+"?"+query.Encode(), "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &answer)
	}
	if err != nil || answer.Status != "success" {
		m.t.Fatalf("%s?%s: status %d, %v: %s", path, query.Encode(), status, err, text)
	}
}

// has reports whether an expression has a value that is a number.
func (m monitor) has(expression string) bool {
	m.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	m.ask("/api/v1/query", url.Values{"query": {expression}}, &data)
	for _, series := range data.Result {
		if series.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

// TestMonitoring: of an installation at work, a real Prometheus has data for every line of every
// panel of the dashboard, can evaluate every rule, raises no alarm, and scrapes no metric that
// docs/metrics.md lacks.
func TestMonitoring(t *testing.T) {
	program := os.Getenv("TEST_PROMETHEUS")
	if program == "" {
		t.Skip("scripts/alerts-test builds Prometheus")
	}
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 2, AOF: true, EdgeEnv: []string{"PUSHGATE_DRAIN=100ms"}})
	// A limit is seen at the start of a program, or two minutes later.
	if _, err := w.Redis.Command(t.Context(), "CONFIG", "SET", "maxmemory", "256mb"); err != nil {
		t.Fatal(err)
	}
	if err := w.Publishers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.Publishers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := startMonitor(t, w, program)
	crowd := newCrowd(t, w, 4*len(kinds), 8)
	crowd.live(Habits{Polls: 0.5, Life: 3 * time.Second, Pause: 200 * time.Millisecond})
	defer crowd.stop()
	traffic := crowd.traffic(t.Context(), 40)
	defer traffic.stop()

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(Repository(), "deploy/grafana/pushgate.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "10s", "$job", ".*", "$instance", ".*")
	var empty []string
	if !testkit.Wait(func() bool {
		w.noise(t)
		empty = nil
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				if expression := variables.Replace(target.Expr); !m.has(expression) {
					empty = append(empty, panel.Title+": "+expression)
				}
			}
		}
		return len(empty) == 0
	}) {
		t.Errorf("nothing is shown of\n%s", strings.Join(empty, "\n"))
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	m.ask("/api/v1/rules", nil, &rules)
	n := 0
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			n++
			if r.Health != "ok" || r.State == "firing" {
				t.Errorf("%s: %s %s, %s", r.Name, r.Health, r.LastError, r.State)
			}
		}
	}
	if n < 20 {
		t.Errorf("Prometheus has %d rules", n)
	}
	m.documented()
}

// documented compares the names that have been scraped with docs/metrics.md.
func (m monitor) documented() {
	page, err := os.ReadFile(filepath.Join(Repository(), "docs/metrics.md"))
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	m.ask("/api/v1/label/__name__/values", nil, &names)
	part := regexp.MustCompile(`_(bucket|sum|count)$`)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "pushgate_") })
	for _, name := range names {
		if !strings.Contains(string(page), "\n| `"+part.ReplaceAllString(name, "")+"` |") {
			m.t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
	if len(names) < 50 {
		m.t.Errorf("Prometheus has %d names of ours", len(names))
	}
}

// noise makes requests that are refused.
func (w *World) noise(t *testing.T) {
	for _, request := range []string{"GET http://" + w.Public + "/bitrix/sub/?CHANNEL_ID=" + NewChannel().String(), // unsigned
		"POST http://" + w.Internal + "/bitrix/pub/?CHANNEL_ID=wrong"} {
		method, address, _ := strings.Cut(request, " ")
		if status, _, err := w.Do(t.Context(), method, address, "{}"); err != nil || status != http.StatusBadRequest {
			t.Errorf("%s: %d, %v", request, status, err)
		}
	}
}
