package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// consolePages are the pages of the console, with what each shows when it is complete.
var consolePages = []struct{ name, address, shows string }{
	{"overview", "#/", ".plot canvas"},
	{"processes", "#/processes", "tbody th"},
	{"process", "#/process/edge-1", ".plot canvas"},
	{"portals", "#/portals", "tbody th"},
	{"redis", "#/redis", "tbody th"},
	{"explain", "#/explain?q=00000000000000000000000042", ".verdicts li"},
	{"putout", "#/putout", "tbody th"},
	{"doctor", "#/doctor", ".finding"},
	{"audit", "#/audit", "tbody th"},
	{"config", "#/config", "tbody th"},
	{"login", "#/login", "form.login"},
}

// login logs somebody in, wherever the console is.
func (p *tab) login(base, token string) {
	p.T.Helper()
	p.Open(base + "#/login")
	p.Wait("document.querySelector('form.login input')")
	p.Fill("form.login input", token)
	p.Click("form.login button", "")
	p.Wait("document.querySelector('.person button')")
}

// TestConsoleIsAccessible: on each page, in both themes and languages, and as wide as a desk or a
// phone, axe finds nothing serious, no script fails, and nothing is wider than the window.
func TestConsoleIsAccessible(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	for _, look := range []struct {
		lang, theme   string
		width, height int64
	}{{"en", "light", 1280, 800}, {"ru", "dark", 390, 844}} {
		p := openTab(t, look.lang)
		p.Theme(look.theme)
		p.Size(look.width, look.height)
		p.login(f.URL, adminAct)
		for _, page := range consolePages {
			p.Open(f.URL + page.address)
			p.Wait(fmt.Sprintf("document.querySelector(%q)", page.shows))
			for _, finding := range p.axe() {
				t.Errorf("%s, %s: %s", page.name, look.lang, finding)
			}
			if wide := Evaluate[int](p.Tab, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
				t.Errorf("%s, %s: %d pixels wider than the window", page.name, look.lang, wide)
			}
			p.screenshot(fmt.Sprintf("%s-%s-%s-%d", page.name, look.lang, look.theme, look.width))
		}
		p.Check()
	}
}

// TestConsoleWithHostileNames: whatever names, reasons and settings are, they are shown as they
// are, and nothing in them is done.
func TestConsoleWithHostileNames(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	evil := with(process(hostileName, hostileName), "version", hostileName, "host", hostileName, "commit", hostileName, "ready", false, "reason", hostileName, "log_level", hostileName)
	f.answer("processes", with(processesAnswer([]object{evil, process("edge-0", "edge")}, hostileName+"2"), "error", hostileName))
	f.answer("history", func(r *http.Request) any {
		answer := historyAnswer(r).(object)
		series := answer["series"].(map[string][]any)
		series["ends_"+hostileName] = series["published"]
		return answer
	})
	_ = f.RecordAct(t.Context(), proto.Act{Who: hostileName, From: hostileName, Process: hostileName, What: hostileName, Whom: hostileName, Result: hostileName})
	p := openTab(t, "en")
	p.login(f.URL, adminAct)
	for _, address := range []string{"#/", "#/processes", "#/process/" + url.PathEscape(hostileName), "#/audit", "#/config", "#/" + url.PathEscape(hostileName)} {
		p.Open(f.URL + address)
		if address != "#/"+url.PathEscape(hostileName) {
			p.WaitText("main", "<img src=x")
		}
		if made := Evaluate[int](p.Tab, "document.querySelectorAll('main img, main script, main svg').length"); made != 0 {
			t.Errorf("%.20s: %d elements", address, made)
		}
		if title := Evaluate[string](p.Tab, "document.title"); title == "owned" {
			t.Errorf("%.20s: a script ran", address)
		}
		if turned := Evaluate[bool](p.Tab, `document.body.innerText.includes("\u202e")`); turned {
			t.Errorf("%.20s: the direction of the text is turned", address)
		}
	}
	p.Check()
}

// TestConsoleWithManyProcesses: with a hundred of them, some silent, the page is painted and then
// full within a second, on a busy machine within three.
func TestConsoleWithManyProcesses(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	var many []object
	var silent []string
	for i := range 100 {
		many = append(many, process(fmt.Sprintf("edge-%d", i), "edge"))
	}
	for i := range 7 {
		silent = append(silent, fmt.Sprintf("lost-%d", i))
	}
	f.answer("processes", func(*http.Request) any { return processesAnswer(many, silent...) })
	p := openTab(t, "en")
	p.Open(f.URL + "#/processes")
	p.Wait("document.querySelectorAll('tbody tr').length === 107")
	p.Open("about:blank")
	p.Open(f.URL)
	p.Wait("document.querySelectorAll('.plot canvas').length === 12 && document.querySelectorAll('tbody tr').length > 10")
	paint := Evaluate[float64](p.Tab, "performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint').startTime")
	full := Evaluate[float64](p.Tab, "performance.getEntriesByType('resource').filter((e) => /processes|history/.test(e.name)).at(-1).responseEnd")
	t.Logf("first paint after %.0f ms, the last answer after %.0f ms", paint, full)
	if paint > 3000 {
		t.Errorf("first paint after %.0f ms", paint)
	}
	p.WaitText(".findings", "lost-6")
	p.WaitText(".figures", "100 ready, 7 silent")
	p.Check()
}

// TestConsoleOfAnInstallation is the visit of an operator: three processes, one of which he drains,
// another one gets another log level, a user is put out, and the audit log has it all; then of a
// colleague who reads Russian, at another process.
func TestConsoleOfAnInstallation(t *testing.T) {
	t.Parallel()
	w := adminWorld(t)
	p := openTab(t, "en")
	p.Open(w.Publishers[0].Admin + "/")
	p.WaitText(".figures", "3 ready, 0 silent")
	p.WaitText(".verdict", "All is well: 3 processes")
	p.Wait("document.querySelectorAll('.plot canvas').length === 12")
	p.login(w.Publishers[0].Admin+"/admin/", adminAct)
	p.Click("nav a", "Processes")
	p.WaitText("tbody", "publisher-0")
	p.Click("tbody a", "edge-0")
	p.WaitText("h1", "edge-0")
	p.Wait("document.querySelector('.acts select')")
	Evaluate[string](p.Tab, "document.querySelector('.acts select').value = 'warn'")
	p.Click("[data-act=level]", "Set level")
	p.Click("dialog button.primary", "Set level")
	p.WaitText("dialog", "The level is warn now.")
	p.Click("dialog button", "Close")
	p.WaitText("dl", "Log level\nwarn")
	p.Click("[data-act=rebalance]", "Rebalance")
	p.Click("dialog button.primary", "Rebalance it")
	p.WaitText("dialog", "It has been asked to.")
	p.Click("dialog button", "Close")

	p.Click("nav a", "Processes")
	p.Click("tbody a", "edge-1")
	p.Click("[data-act=drain]", "Drain")
	p.Click("dialog button.danger", "Drain it")
	p.WaitText("dialog", "It drains.")
	p.Click("dialog button", "Close")
	if err := w.Edges[1].Stop(); err != nil {
		t.Error(err)
	}
	p.WaitText("main", "No such process is known.")
	p.Click("nav a", "Put out")
	p.Wait("document.querySelector('input[name=what]')")
	p.Fill("input[name=what]", "17")
	p.Click("form button.danger", "Put out…")
	p.Click("dialog button.danger", "Put out")
	p.WaitText("dialog", "Done. It holds until")
	p.Click("dialog button", "Close")
	p.WaitText("tbody th", "17")
	p.Click("nav a", "Settings")
	p.WaitText("tbody", "1 redacted")
	p.Click("nav a", "Redis")
	p.WaitText("tbody", "master")
	p.WaitText("tbody", "noeviction")
	p.Click("nav a", "Portals")
	p.WaitText("tbody", "default")
	p.Click("nav a", "Doctor")
	p.WaitText(".group", "Redis")
	p.Check()

	p = openTab(t, "ru")
	p.login(w.Edges[0].Admin+"/admin/", adminView)
	p.Click("nav a", "Обзор")
	p.WaitText(".verdict", "Всё в порядке: 2 процесса")
	p.Click("nav a", "Журнал действий")
	p.WaitText("tbody", "вывод из работы")
	rows := Evaluate[[]string](p.Tab, "[...document.querySelectorAll('tbody tr')].map((tr) => [...tr.cells].slice(1, 6).map((td) => td.innerText).join(' '))")
	want := []string{"anna отключение user 17 of portal default publisher-0 сделано", "anna вывод из работы  edge-1 сделано", "anna выравнивание  edge-0 сделано", "anna уровень журнала warn edge-0 сделано"}
	if diff := testkit.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	p.Check()
}
