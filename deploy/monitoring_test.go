// Package deploy has tests of what this directory holds for Prometheus, Grafana and Zabbix: it must
// name only metrics and labels that docs/metrics.md has, which is compared with the code.
package deploy

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// metric is what docs/metrics.md says of one.
type metric struct {
	kind   string
	labels map[string][]string // with their values; nil: any
}

var (
	metricRow  = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| [^|]* \\| ([^|]*) \\|")
	labelCell  = regexp.MustCompile("^`([a-z_]+)`: (.*)$")
	valuesCell = regexp.MustCompile("^`[^`]*`(, `[^`]*`)*$")
	quoted     = regexp.MustCompile("`([^`]*)`")
)

// documented returns the metrics of docs/metrics.md by name, and those that rules and Prometheus
// itself make.
func documented(t *testing.T) map[string]metric {
	t.Helper()
	known := map[string]metric{
		"up": {kind: "gauge"},
		"portal:pushgate_portal_calls:per_minute": {kind: "gauge", labels: map[string][]string{"portal": nil}},
	}
	for _, row := range metricRow.FindAllStringSubmatch(string(read(t, "../docs/metrics.md")), -1) {
		m := metric{kind: row[2], labels: make(map[string][]string)}
		for _, cell := range strings.Split(row[3], "<br>") {
			label := labelCell.FindStringSubmatch(cell)
			if label == nil {
				continue
			}
			m.labels[label[1]] = nil
			if !valuesCell.MatchString(label[2]) {
				continue
			}
			for _, value := range quoted.FindAllStringSubmatch(label[2], -1) {
				m.labels[label[1]] = append(m.labels[label[1]], value[1])
			}
		}
		known[row[1]] = m
	}
	if len(known) < 60 {
		t.Fatalf("only %d metrics found", len(known))
	}
	return known
}

// of returns the metric that a name in an expression belongs to: a histogram has three.
func of(known map[string]metric, name string) (m metric, found bool) {
	if m, found = known[name]; found {
		return m, m.kind != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			m = known[base]
			return m, m.kind == "histogram"
		}
	}
	return metric{}, false
}

var (
	selector = regexp.MustCompile(`\b(up\b|(?:portal:)?(?:pushgate|go|process)_[a-z_:]+)\s*(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	shown    = regexp.MustCompile(`\{\{ ?(?:\$labels\.)?([a-z_]+)[ }]`)
)

// check reports what an expression names that there is not: metrics, labels, or values of labels.
// Texts are templates that may name the labels of its result.
func check(t *testing.T, known map[string]metric, where, expression string, texts ...string) {
	t.Helper()
	labels := []string{"job", "instance", "le"}
	found := false
	for _, s := range selector.FindAllStringSubmatch(expression, -1) {
		m, ok := of(known, s[1])
		if !ok {
			t.Errorf("%s: there is no metric %s", where, s[1])
			continue
		}
		found = true
		for label := range m.labels {
			labels = append(labels, label)
		}
		for _, match := range matcher.FindAllStringSubmatch(s[2], -1) {
			values, ok := m.labels[match[1]]
			if !ok && !slices.Contains([]string{"job", "instance", "le"}, match[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], match[1])
			}
			for _, value := range strings.Split(match[3], "|") {
				if values != nil && !slices.Contains(values, value) {
					t.Errorf("%s: %s of %s is never %s", where, match[1], s[1], value)
				}
			}
		}
	}
	if !found {
		t.Errorf("%s: %s names no metric", where, expression)
	}
	for _, group := range grouping.FindAllStringSubmatch(expression, -1) {
		for _, label := range strings.Split(group[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(label)) {
				t.Errorf("%s: nothing has the label %s in %s", where, label, expression)
			}
		}
	}
	for _, text := range texts {
		for _, label := range shown.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(labels, label[1]) {
				t.Errorf("%s: nothing has the label %s of %q", where, label[1], text)
			}
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// readYAML reads a file strictly: what to has no field for is an error, unless loose is true.
func readYAML(t *testing.T, name string, to any, loose bool) {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	decoder.KnownFields(!loose)
	if err := decoder.Decode(to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
