package doctor

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestGood: on a good installation every check knows what it looks at, and finds nothing.
func TestGood(t *testing.T) {
	report, err := Run(t.Context(), newInstallation(t).options())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.State != OK {
			t.Errorf("%s: %s %q %s", f.ID, f.State, f.Evidence, reasons[f.why].en)
		}
	}
	if report.ExitCode() != 0 {
		t.Error(report.ExitCode())
	}
}

// TestNewNginx: nginx speaks HTTP/1.1 to servers by default since 1.29.7.
func TestNewNginx(t *testing.T) {
	i := newInstallation(t)
	i.edit("proxy.conf", "proxy_http_version 1.1;", "")
	for version, faults := range map[string]int{"1.29.6": 1, "1.29.7": 0, "1.30.0": 0, "2.0.0": 0, "1.3.99": 1} {
		i.version = version
		if found := i.faults(); len(found) != faults {
			t.Errorf("nginx %s: %+v", version, found)
		}
	}
}

// TestTexts: every check has all its texts in both languages, and no text is without its check.
func TestTexts(t *testing.T) {
	ids := slices.Concat(redisIDs, nginxIDs, machineIDs, processIDs, keyIDs, otherIDs, portalIDs, capacityIDs)
	if len(ids) < 50 {
		t.Errorf("%d checks", len(ids))
	}
	cyrillic := regexp.MustCompile(`\p{Cyrillic}`)
	code := regexp.MustCompile("`[^`]+`")
	check := func(id string, words text, foreign bool) {
		t.Helper()
		if words.en == "" || words.ru == "" || cyrillic.MatchString(words.en) || foreign && !cyrillic.MatchString(words.ru) {
			t.Errorf("%s: %q, %q", id, words.en, words.ru)
		}
		// What is to be typed is the same.
		if a, b := code.FindAllString(words.en, -1), code.FindAllString(words.ru, -1); !slices.Equal(a, b) {
			t.Errorf("%s: %q, %q", id, a, b)
		}
	}
	for _, id := range ids {
		w, ok := texts[id]
		if !ok {
			t.Errorf("no texts of %s", id)
			continue
		}
		check(id, w.looks, id != "redis.thp")
		check(id, w.problem, true)
		check(id, w.remedy, true)
	}
	limits := 0
	for id, w := range texts {
		if strings.HasPrefix(id, "capacity.") && w.problem == (text{}) { // of a limit
			limits++
			check(id, w.looks, id != "capacity.connections" && id != "capacity.edge_memory")
			check(id, w.remedy, true)
		} else if !slices.Contains(ids, id) {
			t.Errorf("%s is no check", id)
		}
	}
	if limits < 12 {
		t.Errorf("%d limits", limits)
	}
	for _, words := range stops {
		check("a stop", words, true)
	}
	for word, words := range capacityWords {
		check(word, words, true)
	}
	for why := notLooked; why <= notThePortal; why++ {
		check("a reason", reasons[why], true)
	}
	for _, s := range []State{OK, Unknown, Warning, Error} {
		check(string(s), stateNames[s], true)
	}
}

// TestPrint: a report as people and programs read it, in both languages. What comes from outside
// cannot write to the terminal or be taken for HTML.
func TestPrint(t *testing.T) {
	report := Report{Findings: []Finding{
		{ID: "redis.version", Group: "redis", State: OK, Evidence: []string{"7.0.15"}},
		{ID: "redis.eviction", Group: "redis", State: Error, Evidence: []string{"\x1b[2J\u202e<script>" + strings.Repeat("x", 1000)}},
		{ID: "nginx.upgrade", Group: "nginx", State: Unknown, why: noNginx},
		{ID: "nginx.log", Group: "nginx", State: Warning, Evidence: slices.Repeat([]string{"a"}, 20)},
	}}
	for lang, want := range map[Lang][]string{English: {"ERROR", "eviction policy", "throws messages away", "noeviction"}, Russian: {"ОШИБКА", "выбрасывает", "noeviction"}} {
		var text, structured bytes.Buffer
		if err := report.Text(&text, lang); err != nil {
			t.Fatal(err)
		}
		if err := report.JSON(&structured, lang); err != nil {
			t.Fatal(err)
		}
		for _, words := range want {
			if !strings.Contains(text.String(), words) {
				t.Errorf("no %q in\n%s", words, text.String())
			}
		}
		for _, out := range []string{text.String(), structured.String()} {
			if strings.ContainsAny(out, "\x1b\u202e") || len(out) > 8000 {
				t.Errorf("%d bytes: %q", len(out), out)
			}
		}
		if strings.Contains(structured.String(), "<script>") {
			t.Error("JSON has HTML")
		}
		var read struct {
			Version  int
			State    string
			Findings []struct{ ID, Group, State, Remedy, Why string }
		}
		if err := json.Unmarshal(structured.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if f := read.Findings; read.Version != 1 || read.State != "error" || len(f) != 4 || f[0].Remedy != "" || f[1].State != "error" || f[1].Remedy == "" || f[2].Why == "" {
			t.Errorf("%+v", read)
		}
	}
	for worst, code := range map[State]int{OK: 0, Unknown: 0, Warning: 1, Error: 2} {
		if got := (Report{Findings: []Finding{{State: OK}, {State: worst}}}).ExitCode(); got != code {
			t.Errorf("%s: %d", worst, got)
		}
	}
}

// TestParseLang: the names of languages, as LANG has them.
func TestParseLang(t *testing.T) {
	for name, want := range map[string]Lang{"ru": Russian, "ru_RU.UTF-8": Russian, "RU": Russian, "C": English, "": English, "run": English, "en_US.UTF-8": English} {
		if got := ParseLang(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}
