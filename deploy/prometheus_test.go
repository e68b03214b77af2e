package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule is an alarm, or a series that is made of others.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// rules returns those of the file for Prometheus.
func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	readYAML(t, "prometheus/rules.yml", &file, false)
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// alarms returns the names of all alarms.
func alarms(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range rules(t) {
		if r.Alert != "" {
			names = append(names, r.Alert)
		}
	}
	return names
}

// TestRules: every alarm is about metrics that there are, says what has happened, and leads to its
// section of the runbook.
func TestRules(t *testing.T) {
	known := documented(t)
	runbook := string(read(t, "../docs/runbook.md"))
	for _, r := range rules(t) {
		check(t, known, r.Alert+r.Record, r.Expr, r.Annotations["summary"])
		if r.Alert == "" {
			continue
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["runbook"] != "docs/runbook.md#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: %v", r.Alert, r.Annotations)
		}
		if !strings.Contains(runbook, "\n## "+r.Alert+"\n") || !strings.Contains(runbook, "["+r.Alert+"](#"+strings.ToLower(r.Alert)+")") {
			t.Errorf("docs/runbook.md has no section on %s, or does not list it", r.Alert)
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(runbook, -1) {
		if !slices.Contains(alarms(t), section[1]) {
			t.Errorf("docs/runbook.md has a section on %s, which is no alarm", section[1])
		}
	}
}

// TestRulesAreTested: for every alarm, promtool has series that raise it and series that do not.
func TestRulesAreTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name   string `yaml:"alertname"`
				Raised []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, "prometheus/rules_test.yml", &file, true)
	raised, calm := make(map[string]bool), make(map[string]bool)
	for _, test := range file.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Raised) > 0 {
				raised[alert.Name] = true
			} else {
				calm[alert.Name] = true
			}
		}
	}
	for _, name := range alarms(t) {
		if !raised[name] || !calm[name] {
			t.Errorf("%s: tested with series that raise it: %t, that do not: %t", name, raised[name], calm[name])
		}
	}
}
