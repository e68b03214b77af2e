package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// trigger is an alarm of Zabbix.
type trigger struct {
	Expression, Name, Description string
	Tags                          []struct{ Tag, Value string }
}

// zabbix is what matters here of a template.
type zabbix struct {
	Export struct {
		Version   string
		Templates []struct {
			Template string
			Items    []struct {
				Key           string
				Type          string
				Preprocessing []struct {
					Type       string
					Parameters []string
				}
				Master   struct{ Key string } `yaml:"master_item"`
				Triggers []trigger
			}
		}
		Triggers []trigger
		Graphs   []struct {
			Name  string
			Items []struct {
				Item struct{ Host, Key string }
			} `yaml:"graph_items"`
		}
	} `yaml:"zabbix_export"`
}

// prometheusOnly are alarms about the installation as a whole, which a template for one process
// cannot have.
var prometheusOnly = []string{"PushgateVersionsDiffer"}

// TestZabbixTemplate: its items are of metrics that there are, its triggers and graphs of items
// that there are, and the triggers are the alarms of Prometheus.
func TestZabbixTemplate(t *testing.T) {
	var file zabbix
	readYAML(t, "zabbix/pushgate.yaml", &file, true)
	if len(file.Export.Templates) != 1 || file.Export.Version != "6.0" {
		t.Fatalf("%d templates of version %s", len(file.Export.Templates), file.Export.Version)
	}
	known, template := documented(t), file.Export.Templates[0]
	keys := make(map[string]bool)
	triggers := file.Export.Triggers
	for _, item := range template.Items {
		if keys[item.Key] {
			t.Errorf("there are two items %s", item.Key)
		}
		keys[item.Key] = true
		triggers = append(triggers, item.Triggers...)
		if item.Type == "HTTP_AGENT" {
			continue
		}
		if len(item.Preprocessing) == 0 || item.Preprocessing[0].Type != "PROMETHEUS_PATTERN" || !keys[item.Master.Key] {
			t.Errorf("%s is not made of the metrics", item.Key)
			continue
		}
		check(t, known, item.Key, item.Preprocessing[0].Parameters[0])
		name, _, _ := strings.Cut(item.Preprocessing[0].Parameters[0], "{")
		m, _ := of(known, name)
		counts := m.kind == "histogram" || m.kind == "counter"
		if rate := len(item.Preprocessing) > 1 && item.Preprocessing[1].Type == "CHANGE_PER_SECOND"; rate != counts {
			t.Errorf("%s shows a %s; change per second: %t", item.Key, m.kind, rate)
		}
	}
	named := regexp.MustCompile(`/` + regexp.QuoteMeta(template.Template) + `/([a-z_.]+)`)
	var raised []string
	for _, trigger := range triggers {
		if len(trigger.Tags) != 1 || trigger.Description != "See docs/runbook.md#"+strings.ToLower(trigger.Tags[0].Value) {
			t.Errorf("%s: %v, %s", trigger.Name, trigger.Tags, trigger.Description)
			continue
		}
		raised = append(raised, trigger.Tags[0].Value)
		items := named.FindAllStringSubmatch(trigger.Expression, -1)
		for _, item := range items {
			if !keys[item[1]] {
				t.Errorf("%s: there is no item %s", trigger.Tags[0].Value, item[1])
			}
		}
		if len(items) == 0 {
			t.Errorf("%s is about nothing: %s", trigger.Tags[0].Value, trigger.Expression)
		}
	}
	want := slices.DeleteFunc(alarms(t), func(name string) bool { return slices.Contains(prometheusOnly, name) })
	slices.Sort(want)
	slices.Sort(raised)
	if !slices.Equal(want, raised) {
		t.Errorf("triggers %v\nwant the alarms %v", raised, want)
	}
	for _, graph := range file.Export.Graphs {
		for _, line := range graph.Items {
			if !keys[line.Item.Key] || line.Item.Host != template.Template {
				t.Errorf("graph %s: there is no item %+v", graph.Name, line.Item)
			}
		}
	}
}

// TestZabbixIDs: Zabbix takes only UUIDs of version 4, each once.
func TestZabbixIDs(t *testing.T) {
	lines := regexp.MustCompile(`uuid: *(\S+)`).FindAllStringSubmatch(string(read(t, "zabbix/pushgate.yaml")), -1)
	version4 := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)
	seen := make(map[string]bool)
	for _, line := range lines {
		if !version4.MatchString(line[1]) || seen[line[1]] {
			t.Errorf("%s is no UUID of version 4, or is there twice", line[1])
		}
		seen[line[1]] = true
	}
	if len(seen) < 60 {
		t.Errorf("%d UUIDs", len(seen))
	}
}
