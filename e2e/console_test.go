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
	p.t.Helper()
	p.open(base + "#/login")
	p.wait("document.querySelector('form.login input')")
	p.fill("form.login input", token)
	p.click("form.login button", "")
	p.wait("document.querySelector('.person button')")
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
		p.theme(look.theme)
		p.size(look.width, look.height)
		p.login(f.URL, adminAct)
		for _, page := range consolePages {
			p.open(f.URL + page.address)
			p.wait(fmt.Sprintf("document.querySelector(%q)", page.shows))
			for _, finding := range p.axe() {
				t.Errorf("%s, %s: %s", page.name, look.lang, finding)
			}
			if wide := evaluate[int](p, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
				t.Errorf("%s, %s: %d pixels wider than the window", page.name, look.lang, wide)
			}
			p.screenshot(fmt.Sprintf("%s-%s-%s-%d", page.name, look.lang, look.theme, look.width))
		}
		p.check()
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
		p.open(f.URL + address)
		if address != "#/"+url.PathEscape(hostileName) {
			p.waitText("main", "<img src=x")
		}
		if made := evaluate[int](p, "document.querySelectorAll('main img, main script, main svg').length"); made != 0 {
			t.Errorf("%.20s: %d elements", address, made)
		}
		if title := evaluate[string](p, "document.title"); title == "owned" {
			t.Errorf("%.20s: a script ran", address)
		}
		if turned := evaluate[bool](p, `document.body.innerText.includes("\u202e")`); turned {
			t.Errorf("%.20s: the direction of the text is turned", address)
		}
	}
	p.check()
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
	p.open(f.URL + "#/processes")
	p.wait("document.querySelectorAll('tbody tr').length === 107")
	p.open("about:blank")
	p.open(f.URL)
	p.wait("document.querySelectorAll('.plot canvas').length === 12 && document.querySelectorAll('tbody tr').length > 10")
	paint := evaluate[float64](p, "performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint').startTime")
	full := evaluate[float64](p, "performance.getEntriesByType('resource').filter((e) => /processes|history/.test(e.name)).at(-1).responseEnd")
	t.Logf("first paint after %.0f ms, the last answer after %.0f ms", paint, full)
	if paint > 3000 {
		t.Errorf("first paint after %.0f ms", paint)
	}
	p.waitText(".findings", "lost-6")
	p.waitText(".figures", "100 ready, 7 silent")
	p.check()
}

// TestConsoleOfAnInstallation is the visit of an operator: three processes, one of which he drains,
// another one gets another log level, a user is put out, and the audit log has it all; then of a
// colleague who reads Russian, at another process.
func TestConsoleOfAnInstallation(t *testing.T) {
	t.Parallel()
	w := adminWorld(t)
	p := openTab(t, "en")
	p.open(w.Publishers[0].Admin + "/")
	p.waitText(".figures", "3 ready, 0 silent")
	p.waitText(".verdict", "All is well: 3 processes")
	p.wait("document.querySelectorAll('.plot canvas').length === 12")
	p.login(w.Publishers[0].Admin+"/admin/", adminAct)
	p.click("nav a", "Processes")
	p.waitText("tbody", "publisher-0")
	p.click("tbody a", "edge-0")
	p.waitText("h1", "edge-0")
	p.wait("document.querySelector('.acts select')")
	evaluate[string](p, "document.querySelector('.acts select').value = 'warn'")
	p.click("[data-act=level]", "Set level")
	p.click("dialog button.primary", "Set level")
	p.waitText("dialog", "The level is warn now.")
	p.click("dialog button", "Close")
	p.waitText("dl", "Log level\nwarn")
	p.click("[data-act=rebalance]", "Rebalance")
	p.click("dialog button.primary", "Rebalance it")
	p.waitText("dialog", "It has been asked to.")
	p.click("dialog button", "Close")

	p.click("nav a", "Processes")
	p.click("tbody a", "edge-1")
	p.click("[data-act=drain]", "Drain")
	p.click("dialog button.danger", "Drain it")
	p.waitText("dialog", "It drains.")
	p.click("dialog button", "Close")
	if err := w.Edges[1].Stop(); err != nil {
		t.Error(err)
	}
	p.waitText("main", "No such process is known.")
	p.click("nav a", "Put out")
	p.wait("document.querySelector('input[name=what]')")
	p.fill("input[name=what]", "17")
	p.click("form button.danger", "Put out…")
	p.click("dialog button.danger", "Put out")
	p.waitText("dialog", "Done. It holds until")
	p.click("dialog button", "Close")
	p.waitText("tbody th", "17")
	p.click("nav a", "Settings")
	p.waitText("tbody", "1 redacted")
	p.click("nav a", "Redis")
	p.waitText("tbody", "master")
	p.waitText("tbody", "noeviction")
	p.click("nav a", "Portals")
	p.waitText("tbody", "default")
	p.click("nav a", "Doctor")
	p.waitText(".group", "Redis")
	p.check()

	p = openTab(t, "ru")
	p.login(w.Edges[0].Admin+"/admin/", adminView)
	p.click("nav a", "Обзор")
	p.waitText(".verdict", "Всё в порядке: 2 процесса")
	p.click("nav a", "Журнал действий")
	p.waitText("tbody", "вывод из работы")
	rows := evaluate[[]string](p, "[...document.querySelectorAll('tbody tr')].map((tr) => [...tr.cells].slice(1, 6).map((td) => td.innerText).join(' '))")
	want := []string{"anna отключение user 17 of portal default publisher-0 сделано", "anna вывод из работы  edge-1 сделано", "anna выравнивание  edge-0 сделано", "anna уровень журнала warn edge-0 сделано"}
	if diff := testkit.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	p.check()
}
