package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pushgate/internal/testkit"
)

const (
	adminView = "the-token-of-vera-4711"
	adminAct  = "the-token-of-anna-0815"
)

// adminWorld is an installation whose admin ports have tokens, and are also known as push.test.
func adminWorld(t *testing.T) *World {
	return Start(t, Options{Bin: bin, Edges: 2, Publishers: 1, Env: []string{
		"PUSHGATE_ADMIN_TOKENS=vera:view:" + adminView + ",anna:act:" + adminAct, "PUSHGATE_ADMIN_HOSTS=push.test", "PUSHGATE_DRAIN=100ms"}})
}

// askAdmin makes a request to the admin port of a process with a token.
func askAdmin(t *testing.T, p *Process, method, path, body, token string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.Admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(all)
}

// adminActs returns the audit log, the oldest first, as "who process what whom result".
func adminActs(t *testing.T, p *Process) (acts []string) {
	t.Helper()
	_, text := askAdmin(t, p, "GET", "/admin/audit", "", adminView)
	var page struct {
		Acts []struct{ Who, Process, What, Whom, Result string }
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, a := range page.Acts {
		acts = append([]string{strings.Join([]string{a.Who, a.Process, a.What, a.Whom, a.Result}, " ")}, acts...)
	}
	return acts
}

// TestAdminPort: with a token somebody changes the level of one process, takes a profile of another
// and, by the port of the first, drains a third, which ends as after SIGTERM. One audit log has it
// all, and no log has a token.
func TestAdminPort(t *testing.T) {
	t.Parallel()
	w := adminWorld(t)
	edge, other, publisher := w.Edges[0], w.Edges[1], w.Publishers[0]
	w.operated(t)
	for _, c := range []struct {
		p                         *Process
		method, path, body, token string
		status                    int
		want                      string
	}{
		{edge, "PUT", "/admin/log-level", `{"level": "debug"}`, adminView, 403, "role act"},
		{edge, "PUT", "/admin/log-level", `{"level": "debug"}`, adminAct, 200, "debug"},
		{edge, "GET", "/admin/config", "", adminView, 200, `"name":"PUSHGATE_KEYS","value":"1 redacted"`},
		{publisher, "GET", "/debug/pprof/goroutine?debug=1", "", adminAct, 200, "goroutine profile"},
		{other, "POST", "/admin/drain", "", "a wrong token, which is long", 401, "none of"},
		{edge, "POST", "/admin/drain?process=edge-1", "", adminAct, 202, `"process":"edge-1","state":"draining"`},
	} {
		if status, text := askAdmin(t, c.p, c.method, c.path, c.body, c.token); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s of %s: %d %s", c.path, c.p.Name, status, text)
		}
	}
	err := other.Await(t.Context(), func(context.Context) error { return errors.New("still there") })
	if err == nil || !strings.Contains(err.Error(), "ended: <nil>") {
		t.Error(err)
	}
	if err := other.Stop(); err != nil {
		t.Error(err)
	}
	want := []string{"anna edge-0 log-level debug done", "anna publisher-0 pprof goroutine done", "anna edge-1 drain  done"}
	if diff := testkit.Diff(want, adminActs(t, edge)); diff != "" {
		t.Error(diff)
	}
	for _, p := range []*Process{edge, other, publisher} {
		if log := string(p.Log()); strings.Contains(log, adminAct) || strings.Contains(log, adminView) || strings.Contains(log, "a wrong token, which") {
			t.Errorf("%s logs a token", p.Name)
		}
	}
}

// TestAdminPortInABrowser: Chromium logs in by the form, over an address and over a name (which has
// no Sec-Fetch-Site without TLS). The cookie serves every process. Pages of other origins can do
// nothing with it, not even of the same host, and a name that somebody else made resolve to this
// machine is refused.
func TestAdminPortInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		Missing(t, "chromium is not installed; scripts/test installs it on a Debian machine")
	}
	w := adminWorld(t)
	edge, publisher := w.Edges[0], w.Publishers[0]
	attack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="%s/admin/drain"><button id="go">x</button></form>`, edge.Admin)
	}))
	defer attack.Close()
	_, edgePort, _ := strings.Cut(strings.TrimPrefix(edge.Admin, "http://"), ":")

	ctx, cancel := context.WithTimeout(t.Context(), 2*testkit.Patience)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"), chromedp.UserDataDir(t.TempDir()))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer func() { chromedp.Cancel(ctx); cancel() }()
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	evaluate := func(expression string) string {
		t.Helper()
		value, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return value
	}
	expect := func(what, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	await := func(part string) {
		t.Helper()
		for deadline := time.Now().Add(testkit.Patience); ; {
			// It fails while the next page comes.
			text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body?.innerText ?? ""`, chromedp.EvalAwaitPromise))
			if err == nil && strings.Contains(text, part) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %s: %s, %v", part, text, err)
			}
		}
	}
	for _, base := range []string{edge.Admin, "http://push.test:" + edgePort} {
		do(chromedp.Navigate(base+"/admin/login"), chromedp.SendKeys("#token", "a wrong one"), chromedp.Click("button"))
		await("none of PUSHGATE_ADMIN_TOKENS")
		do(chromedp.SendKeys("#token", adminAct), chromedp.Click("button"))
		await("anna")
		expect("the cookie", evaluate("'seen: ' + document.cookie + '.'"), "seen: .")
		do(chromedp.Navigate(base + "/livez")) // the only page without a policy for scripts
		expect("a script of its own", evaluate(`fetch("/admin/log-level", {method: "PUT", body: '{"level": "debug"}'}).then(async r => r.status + await r.text())`), "200")
	}
	do(chromedp.Navigate(publisher.Admin + "/admin/whoami"))
	await(`"process":"publisher-0"`)

	do(chromedp.Navigate(attack.URL))
	expect("a script of another port", evaluate(fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors", credentials: "include"}).then(() => "sent")`, edge.Admin+"/admin/drain")), "sent")
	do(chromedp.Click("#go"))
	await("page of another site")
	do(chromedp.Navigate("http://evil.test:" + edgePort + "/admin/login"))
	await("PUSHGATE_ADMIN_HOSTS")
	if refused, err := edge.Metric(t.Context(), `pushgate_admin_refused_total{reason="cross_site"}`); err != nil || refused != 2 {
		t.Errorf("%v refused, %v", refused, err)
	}
	want := []string{"anna edge-0 log-level debug done", "anna edge-0 log-level debug done"}
	if diff := testkit.Diff(want, adminActs(t, edge)); diff != "" {
		t.Error(diff)
	}
}
