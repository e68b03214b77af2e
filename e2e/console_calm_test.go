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
		p.Open(f.URL + address)
		p.WaitText("main", "does not offer that")
	}
	p.Open(f.URL + "#/nonsense/%E0%A4%A")
	p.WaitText("h1", "No such page")
	p.Open(f.URL + "#/redis")
	p.WaitText("main", "It needs a token")

	f.answer("processes", with(processesAnswer([]object{with(process("edge-0", "edge"), "memory_bytes", -1, "clock_ms", nil)}), "error", "Redis does not answer.", "now", time.Now().Add(-3*time.Hour).UnixMilli()))
	f.answer("history", func(r *http.Request) any {
		<-time.After(50 * time.Millisecond) // a slow one
		return object{"step_ms": 10000, "times": []int64{time.Now().UnixMilli()}, "series": object{"published": []any{nil}, "connections_poll": []int{7}}}
	})
	p.Open("about:blank")
	p.Open(f.URL)
	p.WaitText(".findings", "Only this process is known, the others are not: Redis does not answer.")
	p.WaitText(".findings", "The clock of this browser is 3 hr ahead of the server's")
	p.WaitText(".legend", "poll\n7")
	p.WaitText(".legend", "published\n–")
	p.Open(f.URL + "#/process/edge-0")
	p.WaitText("dl", "Memory\n–")
	p.Open(f.URL + "#/process/edge-7")
	p.WaitText("main", "No such process is known")

	f.answer("processes", http.StatusServiceUnavailable)
	p.Open(f.URL + "#/process/edge-0")
	p.WaitText("main", "Not available now. the fixture says so")
	f.answer("processes", processesAnswer([]object{process("edge-0", "edge")}))
	p.Open(f.URL + "#/processes")
	p.WaitText("tbody", "edge-0")
	f.answer("processes", http.StatusInternalServerError)
	Evaluate[bool](p.Tab, "document.dispatchEvent(new Event('visibilitychange')) || true")
	p.WaitText("#fresh", "Stale: from")
	p.WaitText("tbody", "edge-0")
	p.Wait("document.querySelector('main.stale')")

	if f.most != 1 {
		t.Errorf("%d questions at a time", f.most)
	}
	hide := "Object.defineProperty(document, 'hidden', {get: () => true}); document.dispatchEvent(new Event('visibilitychange')) || true"
	Evaluate[bool](p.Tab, hide)
	before := f.questions("GET")
	p.Open(f.URL + "#/portals") // it would ask at once
	p.WaitText("h1", "Portals")
	Evaluate[bool](p.Tab, "new Promise((done) => setTimeout(done, 200, true))")
	if after := f.questions("GET"); after != before {
		t.Errorf("%d questions while nobody looks", after-before)
	}
	p.Check()
}

// TestConsoleLogin: somebody without a token sees what is open, and logs in where more is wanted,
// to go on from there; also with the form of the process, and in Russian.
func TestConsoleLogin(t *testing.T) {
	t.Parallel()
	f := startAdminPort(t)
	lively(f)
	p := openTab(t, "ru")
	p.Open(f.URL + "#/process/edge-1")
	p.WaitText(".acts", "Чтобы вывести процесс")
	p.Open(f.URL + "#/audit")
	p.WaitText("main", "Для этого нужен токен")
	p.Fill("form.login input", "a wrong one")
	p.Click("form.login button", "")
	p.WaitText("form.login", "У этого процесса нет такого токена")
	p.Fill("form.login input", adminView)
	p.Click("form.login button", "")
	p.WaitText("tbody", "вывод из работы")
	p.WaitText(".person", "vera · читает")
	p.Open(f.URL + "#/process/edge-1")
	p.WaitText(".acts", "Ваш токен только читает")
	p.Click(".person button", "Выйти")
	p.WaitText(".person", "Войти")

	p.Open(f.URL + "login#/config")
	p.WaitText("body", "Токен из PUSHGATE_ADMIN_TOKENS")
	p.Fill("#token", "a wrong one")
	p.Click("button", "Войти")
	p.WaitText("body", "Такого токена")
	p.Fill("#token", adminAct)
	p.Click("button", "Войти")
	p.WaitText("h1", "Настройки")
	p.WaitText("tbody", "PUSHGATE_DRAIN")
	p.WaitText(".person", "anna · управляет")
	if seen := Evaluate[string](p.Tab, "document.cookie"); seen != "" {
		t.Errorf("a script reads %s", seen)
	}
	p.Check()
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
	p.Open("about:blank")
	p.Open(f.URL + "#/processes")
	p.WaitText("tbody", "publisher-0")
	p.Run(chromedp.KeyEvent("\t"))
	p.Wait(focus + ".id === 'skip'")
	p.Run(chromedp.KeyEvent("\r"))
	p.Wait(focus + ".id === 'main'")
	for Evaluate[string](p.Tab, focus+".innerText ?? ''") != "Memory" {
		p.Run(chromedp.KeyEvent("\t"))
		if Evaluate[string](p.Tab, focus+".tagName") == "BODY" {
			t.Fatal("no heading can be reached")
		}
	}
	p.Run(chromedp.KeyEvent("\r"))
	p.Wait("document.querySelector('[aria-sort=descending]').innerText.includes('Memory')")

	p.Open(f.URL + "#/process/edge-0")
	p.Wait("document.querySelector('[data-act=level]')")
	Evaluate[bool](p.Tab, "(document.querySelector('.acts select').value = 'debug') && document.querySelector('[data-act=level]').focus() === undefined")
	p.Run(chromedp.KeyEvent("\r"))
	p.WaitText("dialog", "Set the log level of edge-0?")
	p.Wait(focus + ".innerText === 'Cancel'")
	p.Run(chromedp.KeyEvent("\x1b"))
	p.Wait("!document.querySelector('dialog') && " + focus + ".dataset.act === 'level'")
	p.Run(chromedp.KeyEvent("\r"))
	p.WaitText("dialog", "Set the log level of edge-0?")
	p.Run(chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"))
	p.WaitText("dialog [role=status]", "The level is debug now.")
	p.Run(chromedp.KeyEvent("\r"))
	p.Wait("!document.querySelector('dialog')")

	p.Size(390, 844)
	p.Wait("getComputedStyle(document.getElementById('pages')).display === 'none'")
	Evaluate[bool](p.Tab, "document.getElementById('menu').focus() === undefined")
	p.Run(chromedp.KeyEvent("\r"))
	p.Wait("getComputedStyle(document.getElementById('pages')).display !== 'none'")
	p.Run(chromedp.KeyEvent("\x1b"))
	p.Wait("getComputedStyle(document.getElementById('pages')).display === 'none' && " + focus + ".id === 'menu'")
	f.mu.Lock()
	defer f.mu.Unlock()
	acts := []string{}
	for _, act := range f.acts[:len(f.acts)-3] {
		acts = append(acts, fmt.Sprint(act.Who, " ", act.What, " ", act.Whom, " ", act.Result))
	}
	if diff := testkit.Diff([]string{"anna log-level debug done"}, acts); diff != "" {
		t.Error(diff)
	}
	p.Check()
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
	p.Open(f.URL + "#/putout")
	p.Wait("document.querySelector('input[name=what]')")
	p.Fill("input[name=what]", "Ivan")
	p.Click("button.danger", "Put out…")
	p.Wait("!document.querySelector('input[name=what]').checkValidity()")
	Evaluate[string](p.Tab, "document.querySelector('input[name=what]').value = ''")
	p.Fill("input[name=what]", "42")
	p.Click("button.danger", "Put out…")
	p.WaitText("dialog", "Put out user 42?")
	if f.questions("POST") != 0 {
		t.Error("done without a confirmation")
	}
	p.Click("dialog button.danger", "Put out")
	p.WaitText("dialog", "Done. It holds until")
	p.Click("dialog button", "Close")
	p.Click("tbody button", "Let in again")
	p.Click("dialog button.primary", "Let in again")
	p.WaitText("dialog", "Not now. the fixture says so")
	p.Click("dialog button", "Close")

	p.Open(f.URL + "#/explain")
	p.Wait("document.querySelector('input[name=q]')")
	p.Fill("input[name=q]", "00000000000000000000000042")
	p.Click("form button", "Explain")
	p.WaitText(".verdicts", "Nobody was connected to the channel.")
	p.WaitText("main", "written at")
	p.Click("button", "Show the body…")
	p.Click("dialog button.danger", "Show it")
	p.Click("dialog button", "Close")
	p.WaitText("pre", "<b>hi</b>")
	p.Click("form button", "Follow live")
	p.WaitText(".steps", "written")
	p.WaitText(".steps", "client_closed")
	p.WaitText("[role=status]", "Ended.")

	p.Open(f.URL + "#/portals")
	p.WaitText("tbody", "portal-0000")
	p.Click("button", "Next")
	p.WaitText("tbody", "portal-0150")
	p.Fill("input[type=search]", "portal-9999")
	p.Wait("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('portal-9999')")
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
	p.Check()
}
