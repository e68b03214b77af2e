package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pushgate/internal/testkit"
)

// TestConsoleInTrouble: what a process does not offer, does not answer or does not know is said in
// words, and what was known before stays and is called stale. One question is under way at a time,
// and none while nobody looks.
func TestConsoleInTrouble(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	p := openTab(t, "en")
	for _, address := range []string{"#/", "#/processes", "#/portals"} {
		p.open(f.URL + address)
		p.waitText("main", "does not offer that")
	}
	p.open(f.URL + "#/nonsense/%E0%A4%A")
	p.waitText("h1", "No such page")
	p.open(f.URL + "#/redis")
	p.waitText("main", "It needs a token")

	f.answer("processes", with(processesAnswer([]object{with(process("edge-0", "edge"), "memory_bytes", -1, "clock_ms", nil)}), "error", "Redis does not answer.", "now", time.Now().Add(-3*time.Hour).UnixMilli()))
	f.answer("history", func(r *http.Request) any {
		<-time.After(50 * time.Millisecond) // a slow one
		return object{"step_ms": 10000, "times": []int64{time.Now().UnixMilli()}, "series": object{"published": []any{nil}, "connections_poll": []int{7}}}
	})
	p.open("about:blank")
	p.open(f.URL)
	p.waitText(".findings", "Only this process is known, the others are not: Redis does not answer.")
	p.waitText(".findings", "The clock of this browser is 3 hr ahead of the server's")
	p.waitText(".legend", "poll\n7")
	p.waitText(".legend", "published\n–")
	p.open(f.URL + "#/process/edge-0")
	p.waitText("dl", "Memory\n–")
	p.open(f.URL + "#/process/edge-7")
	p.waitText("main", "No such process is known")

	f.answer("processes", http.StatusServiceUnavailable)
	p.open(f.URL + "#/process/edge-0")
	p.waitText("main", "Not available now. the fixture says so")
	f.answer("processes", processesAnswer([]object{process("edge-0", "edge")}))
	p.open(f.URL + "#/processes")
	p.waitText("tbody", "edge-0")
	f.answer("processes", http.StatusInternalServerError)
	evaluate[bool](p, "document.dispatchEvent(new Event('visibilitychange')) || true")
	p.waitText("#fresh", "Stale: from")
	p.waitText("tbody", "edge-0")
	p.wait("document.querySelector('main.stale')")

	if f.most != 1 {
		t.Errorf("%d questions at a time", f.most)
	}
	hide := "Object.defineProperty(document, 'hidden', {get: () => true}); document.dispatchEvent(new Event('visibilitychange')) || true"
	evaluate[bool](p, hide)
	before := f.questions("GET")
	p.open(f.URL + "#/portals") // it would ask at once
	p.waitText("h1", "Portals")
	evaluate[bool](p, "new Promise((done) => setTimeout(done, 200, true))")
	if after := f.questions("GET"); after != before {
		t.Errorf("%d questions while nobody looks", after-before)
	}
	p.check()
}

// TestConsoleLogin: somebody without a token sees what is open, and logs in where more is wanted,
// to go on from there; also with the form of the process, and in Russian.
func TestConsoleLogin(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	p := openTab(t, "ru")
	p.open(f.URL + "#/process/edge-1")
	p.waitText(".acts", "Чтобы вывести процесс")
	p.open(f.URL + "#/audit")
	p.waitText("main", "Для этого нужен токен")
	p.fill("form.login input", "a wrong one")
	p.click("form.login button", "")
	p.waitText("form.login", "У этого процесса нет такого токена")
	p.fill("form.login input", adminView)
	p.click("form.login button", "")
	p.waitText("tbody", "вывод из работы")
	p.waitText(".person", "vera · читает")
	p.open(f.URL + "#/process/edge-1")
	p.waitText(".acts", "Ваш токен только читает")
	p.click(".person button", "Выйти")
	p.waitText(".person", "Войти")

	p.open(f.URL + "login#/config")
	p.waitText("body", "Токен из PUSHGATE_ADMIN_TOKENS")
	p.fill("#token", "a wrong one")
	p.click("button", "Войти")
	p.waitText("body", "Такого токена")
	p.fill("#token", adminAct)
	p.click("button", "Войти")
	p.waitText("h1", "Настройки")
	p.waitText("tbody", "PUSHGATE_DRAIN")
	p.waitText(".person", "anna · управляет")
	if seen := evaluate[string](p, "document.cookie"); seen != "" {
		t.Errorf("a script reads %s", seen)
	}
	p.check()
}

// TestConsoleByKeyboard: the skip link, the menu, the tables and the dialog work without a mouse;
// nothing is done before it is confirmed, and the focus comes back.
func TestConsoleByKeyboard(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	p := openTab(t, "en")
	p.login(f.URL, adminAct)
	focus := "document.activeElement"
	p.open("about:blank")
	p.open(f.URL + "#/processes")
	p.waitText("tbody", "publisher-0")
	p.run(chromedp.KeyEvent("\t"))
	p.wait(focus + ".id === 'skip'")
	p.run(chromedp.KeyEvent("\r"))
	p.wait(focus + ".id === 'main'")
	for evaluate[string](p, focus+".innerText ?? ''") != "Memory" {
		p.run(chromedp.KeyEvent("\t"))
		if evaluate[string](p, focus+".tagName") == "BODY" {
			t.Fatal("no heading can be reached")
		}
	}
	p.run(chromedp.KeyEvent("\r"))
	p.wait("document.querySelector('[aria-sort=descending]').innerText.includes('Memory')")

	p.open(f.URL + "#/process/edge-0")
	p.wait("document.querySelector('[data-act=level]')")
	evaluate[bool](p, "(document.querySelector('.acts select').value = 'debug') && document.querySelector('[data-act=level]').focus() === undefined")
	p.run(chromedp.KeyEvent("\r"))
	p.waitText("dialog", "Set the log level of edge-0?")
	p.wait(focus + ".innerText === 'Cancel'")
	p.run(chromedp.KeyEvent("\x1b"))
	p.wait("!document.querySelector('dialog') && " + focus + ".dataset.act === 'level'")
	p.run(chromedp.KeyEvent("\r"))
	p.waitText("dialog", "Set the log level of edge-0?")
	p.run(chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"))
	p.waitText("dialog [role=status]", "The level is debug now.")
	p.run(chromedp.KeyEvent("\r"))
	p.wait("!document.querySelector('dialog')")

	p.size(390, 844)
	p.wait("getComputedStyle(document.getElementById('pages')).display === 'none'")
	evaluate[bool](p, "document.getElementById('menu').focus() === undefined")
	p.run(chromedp.KeyEvent("\r"))
	p.wait("getComputedStyle(document.getElementById('pages')).display !== 'none'")
	p.run(chromedp.KeyEvent("\x1b"))
	p.wait("getComputedStyle(document.getElementById('pages')).display === 'none' && " + focus + ".id === 'menu'")
	f.mu.Lock()
	defer f.mu.Unlock()
	acts := []string{}
	for _, act := range f.acts[:len(f.acts)-3] {
		acts = append(acts, fmt.Sprint(act.Who, " ", act.What, " ", act.Whom, " ", act.Result))
	}
	if diff := testkit.Diff([]string{"anna log-level debug done"}, acts); diff != "" {
		t.Error(diff)
	}
	p.check()
}

// TestConsoleActs: putting a user out, asking what became of a message and following somebody send
// what the processes expect, and show what they answer.
func TestConsoleActs(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	f.answer("revoke", object{"portal": "", "entries": []string{"user:42"}, "until": time.Now().Add(24 * time.Hour).Unix()})
	f.answer("restore", http.StatusConflict)
	f.answer("explain/body", object{"bytes": 9, "receivers": []string{}, "body": "<b>hi</b>"})
	f.answer("trace", "data: {\"process\":\"edge-0\",\"at\":1764360000000000,\"what\":\"written\",\"portal\":\"default\",\"id\":\"00000000000000000000000042\",\"session\":7,\"detail\":\"im_message\"}\n\n:\n\n"+
		"data: {\"process\":\"edge-1\",\"at\":1764360000000000,\"what\":\"ended\",\"portal\":\"default\",\"id\":\"\",\"session\":8,\"detail\":\"client_closed\"}\n\nevent: end\ndata: {}\n\n")
	p := openTab(t, "en")
	p.login(f.URL, adminAct)
	p.open(f.URL + "#/putout")
	p.wait("document.querySelector('input[name=what]')")
	p.fill("input[name=what]", "Ivan")
	p.click("button.danger", "Put out…")
	p.wait("!document.querySelector('input[name=what]').checkValidity()")
	evaluate[string](p, "document.querySelector('input[name=what]').value = ''")
	p.fill("input[name=what]", "42")
	p.click("button.danger", "Put out…")
	p.waitText("dialog", "Put out user 42?")
	if f.questions("POST") != 0 {
		t.Error("done without a confirmation")
	}
	p.click("dialog button.danger", "Put out")
	p.waitText("dialog", "Done. It holds until")
	p.click("dialog button", "Close")
	p.click("tbody button", "Let in again")
	p.click("dialog button.primary", "Let in again")
	p.waitText("dialog", "Not now. the fixture says so")
	p.click("dialog button", "Close")

	p.open(f.URL + "#/explain")
	p.wait("document.querySelector('input[name=q]')")
	p.fill("input[name=q]", "00000000000000000000000042")
	p.click("form button", "Explain")
	p.waitText(".verdicts", "Nobody was connected to the channel.")
	p.waitText("main", "written at")
	p.click("button", "Show the body…")
	p.click("dialog button.danger", "Show it")
	p.click("dialog button", "Close")
	p.waitText("pre", "<b>hi</b>")
	p.click("form button", "Follow live")
	p.waitText(".steps", "written")
	p.waitText(".steps", "client_closed")
	p.waitText("[role=status]", "Ended.")

	p.open(f.URL + "#/portals")
	p.waitText("tbody", "portal-0000")
	p.click("button", "Next")
	p.waitText("tbody", "portal-0150")
	p.fill("input[type=search]", "portal-9999")
	p.wait("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('portal-9999')")
	f.mu.Lock()
	posts := []string{}
	for _, line := range f.asked {
		if strings.HasPrefix(line, "POST") || strings.Contains(line, "/trace") {
			posts = append(posts, line)
		}
	}
	f.mu.Unlock()
	want := []string{`POST /admin/revoke {"portal":"","user":42,"for":"24h"}`, `POST /admin/restore {"portal":"","user":17}`,
		`POST /admin/explain/body {"id":"00000000000000000000000042","portal":"default"}`, "GET /admin/trace?q=00000000000000000000000042&seconds=60"}
	if diff := testkit.Diff(want, posts); diff != "" {
		t.Error(diff)
	}
	p.check()
}
