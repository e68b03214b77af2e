package server

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pushgate/internal/config"
	"pushgate/internal/mirror"
	"pushgate/internal/ops"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

//go:generate go test -run=TestMetricsAreDocumented -update .

var update = flag.Bool("update", false, "write the tables into docs/metrics.md")

// labelValues says what labels hold that have no value yet when a program has just started.
var labelValues = map[string]string{
	"pushgate_build_info version":            "of the release",
	"pushgate_build_info commit":             "of the repository",
	"pushgate_build_info go":                 "version of the compiler",
	"pushgate_panics_total where":            "part of the program",
	"pushgate_portal_calls_total portal":     "client id, `default` for the personal portal; `other` for all beyond the first 100, until one of these has had no call for an hour; `unknown` if the client named none that is served",
	"pushgate_redis_memory_bytes node":       "address of the server; with sentinels, the id of the master",
	"pushgate_redis_memory_limit_bytes node": "as above",
	"pushgate_redis_risk risk":               "`" + strings.Join(store.RiskNames(), "`, `") + "`",
}

// ofTheProcess are the metrics of the client library that dashboards and alarms use.
var ofTheProcess = []string{"go_goroutines", "go_memstats_heap_inuse_bytes", "process_cpu_seconds_total", "process_max_fds", "process_open_fds",
	"process_resident_memory_bytes", "process_start_time_seconds"}

// metric is what a document says of one.
type metric struct {
	name, kind, help string
	labels           map[string]string
	programs         []string
}

var (
	description = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)
	constLabel  = regexp.MustCompile(`(\w+)="`)
)

// describe adds the metrics of a registry to those that are known.
func describe(t *testing.T, known map[string]*metric, program string, registry *prometheus.Registry) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Error(err)
	}
	shown := make(map[string]*dto.MetricFamily)
	for _, family := range families {
		shown[family.GetName()] = family
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	for d := range descriptions {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			t.Errorf("%s is not understood", d)
			continue
		}
		name := parts[1]
		if !strings.HasPrefix(name, "pushgate_") && !slices.Contains(ofTheProcess, name) {
			continue
		}
		m := known[name]
		if m == nil {
			m = &metric{name: name, kind: "gauge", help: unquote(t, parts[2]), labels: make(map[string]string)}
			known[name] = m
		}
		m.programs = append(m.programs, program)
		if family := shown[name]; family != nil {
			m.kind = strings.ToLower(family.GetType().String())
		} else if strings.HasSuffix(name, "_total") {
			m.kind = "counter"
		}
		labels := strings.FieldsFunc(parts[4], func(r rune) bool { return r == ',' })
		for _, constant := range constLabel.FindAllStringSubmatch(parts[3], -1) {
			labels = append(labels, constant[1])
		}
		for _, label := range labels {
			m.labels[label] = valuesOf(t, shown[name], name, label)
		}
	}
}

func unquote(t *testing.T, quoted string) (text string) {
	if _, err := fmt.Sscanf(quoted, "%q", &text); err != nil {
		t.Errorf("%s: %v", quoted, err)
	}
	return text
}

// valuesOf returns what a label may hold, as Markdown.
func valuesOf(t *testing.T, family *dto.MetricFamily, name, label string) string {
	if values, ok := labelValues[name+" "+label]; ok {
		return values
	}
	values := make(map[string]bool)
	for _, m := range family.GetMetric() {
		for _, pair := range m.GetLabel() {
			if pair.GetName() == label {
				values["`"+pair.GetValue()+"`"] = true
			}
		}
	}
	if len(values) == 0 {
		t.Errorf("nothing says what %s has as %s: make its series when the program starts, or say it in labelValues", name, label)
	}
	return strings.Join(slices.Sorted(maps.Keys(values)), ", ")
}

// unit returns the unit of a metric, which its name ends with.
func (m *metric) unit() string {
	for _, unit := range []string{"seconds", "bytes"} {
		if name := strings.TrimSuffix(m.name, "_total"); strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return "–"
}

// row returns a line of the table.
func (m *metric) row() string {
	var labels []string
	for _, label := range slices.Sorted(maps.Keys(m.labels)) {
		labels = append(labels, "`"+label+"`: "+m.labels[label])
	}
	of := strings.Join(m.programs, ", ")
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", m.name, m.kind, m.unit(), strings.Join(labels, "<br>"), of, strings.ReplaceAll(m.help, "|", `\|`))
}

// registered returns the metrics of all programs, which run for a moment.
func registered(t *testing.T) map[string]*metric {
	known, quiet := make(map[string]*metric), slog.New(slog.DiscardHandler)
	redis := miniredis.RunT(t)
	environ := []string{"PUSHGATE_KEYS=a-key-of-the-document", "PUSHGATE_REDIS_URL=redis://" + redis.Addr(), "PUSHGATE_LISTEN=127.0.0.1:0", "PUSHGATE_DRAIN=0s",
		"PUSHGATE_TRACES_ENDPOINT=http://127.0.0.1:1"}
	run := func(program string, cfg settings, build func(base) (ops.Service, error)) {
		registry := ops.NewRegistry()
		ctx, end := context.WithCancel(t.Context())
		defer end()
		err := serve(ctx, cfg, new(slog.LevelVar), quiet, registry, func(b base) (ops.Service, error) {
			s, err := build(b)
			s.Started = func(net.Addr, net.Addr) {
				describe(t, known, program, registry)
				end()
			}
			return s, err
		})
		if err != nil {
			t.Errorf("%s: %v", program, err)
		}
	}
	edge, err := config.LoadEdge(environ)
	if err != nil {
		t.Fatal(err)
	}
	run("edge", edge, edgeService(edge))
	publisher, err := config.LoadPublisher(append(environ, "PUSHGATE_MIRROR_URL=http://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	run("publisher", publisher, publisherService(publisher))

	ctx, end := context.WithCancel(t.Context())
	defer end()
	registry := ops.NewRegistry()
	server := func(host string) *url.URL { return &url.URL{Scheme: "http", Host: host} }
	err = mirror.Run(ctx, mirror.Options{Listen: "127.0.0.1:0", Primary: server("127.0.0.1:1"), Mirror: server("127.0.0.1:2"), Logger: quiet, Registry: registry,
		Started: func(net.Addr) {
			describe(t, known, "mirror", registry)
			end()
		}})
	if err != nil {
		t.Error(err)
	}
	return known
}

// TestMetricsAreDocumented: docs/metrics.md says of every metric that a program registers what it
// is.
func TestMetricsAreDocumented(t *testing.T) {
	known := registered(t)
	var ours, process strings.Builder
	const header = "| metric | type | unit | labels | programs | meaning |\n| --- | --- | --- | --- | --- | --- |\n"
	ours.WriteString(header)
	process.WriteString(header)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		m := known[name]
		if strings.HasPrefix(name, "pushgate_") {
			if !strings.HasSuffix(m.help, ".") {
				t.Errorf("%s: %q is no sentence", name, m.help)
			}
			ours.WriteString(m.row())
		} else {
			process.WriteString(m.row())
		}
	}
	document(t, "metrics", ours.String())
	document(t, "process", process.String())
}

// document compares a table of docs/metrics.md, between two marks, with what it should be, or
// writes it.
func document(t *testing.T, mark, want string) {
	t.Helper()
	const name = "../../docs/metrics.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->\n"
	before, rest, begun := strings.Cut(string(page), begin)
	table, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no lines %s and %s", name, begin, end)
	}
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := testkit.Diff(want, table); diff != "" {
		t.Errorf("docs/metrics.md is not what `go generate ./internal/server` writes:\n%s", diff)
	}
}
