package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pushgate/e2e"
	"pushgate/internal/testkit"
)

// startChromium returns the context of one browser, in which every page is a tab.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		e2e.Missing(t, "chromium is not installed; scripts/test installs it on a Debian machine")
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// Otherwise tabs in the background are slowed down.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		// The portal's REST has a self-signed certificate.
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.UserDataDir(t.TempDir()))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	// Waits for the process, whose files are removed after the test.
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel() })
	if err := chromedp.Do(ctx); err != nil { // starts it
		t.Fatal(err)
	}
	return ctx
}

// tab is a page of a user, and what the browser reports of its traffic.
type tab struct {
	t      *testing.T
	ctx    context.Context
	portal *portal
	user   int

	mu       sync.Mutex
	faults   []string // uncaught exceptions
	requests []*request
	posts    []*request
	sent     []string // text frames of its WebSockets, both ways
	received []string

	tolerates string // a complaint that the client's own ways explain; empty for none
}

// request is a connection to the push server: a WebSocket, a long poll, or a post of a page on long
// polls.
type request struct {
	id     network.RequestID
	URL    *url.URL
	Status int64  // 0 until there is an answer
	LastID string // of a poll's answer: the Last-Message-Id header
}

// names returns the names of the query in their order.
func (r request) names() (names []string) {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return names
}

func (r request) mid() string { return r.URL.Query().Get("mid") }

// open opens the page of a user and waits until its client is connected.
func (p *portal) open(t *testing.T, chromium context.Context, user int) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, portal: p, user: user}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(p.address(user))); err != nil {
		t.Fatal(err)
	}
	b.online()
	t.Cleanup(b.check)
	return b
}

// note records an event of the browser.
func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	begin := func(id network.RequestID, address string) {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host != b.portal.push:
		case u.Path == "/bitrix/rest/":
			b.posts = append(b.posts, &request{id: id, URL: u})
		default:
			b.requests = append(b.requests, &request{id: id, URL: u})
		}
	}
	answered := func(id network.RequestID, status int64, lastID string) {
		for _, r := range slices.Concat(b.requests, b.posts) {
			if r.id == id {
				r.Status, r.LastID = status, lastID
			}
		}
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprintf("%s at %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1))
	case *network.EventWebSocketCreated:
		begin(e.RequestID, e.URL)
	case *network.EventWebSocketHandshakeResponseReceived:
		answered(e.RequestID, e.Response.Status, "")
	case *network.EventWebSocketFrameSent:
		b.sent = append(b.sent, string(e.Response.PayloadData))
	case *network.EventWebSocketFrameReceived:
		b.received = append(b.received, string(e.Response.PayloadData))
	case *network.EventRequestWillBeSent:
		begin(e.RequestID, e.Request.URL)
	case *network.EventResponseReceived:
		last, _ := e.Response.Headers["Last-Message-Id"].(string)
		answered(e.RequestID, e.Response.Status, last)
	}
}

// frames returns the text frames that a page's WebSockets have sent and received so far.
func (b *tab) frames() (sent, received []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent), slices.Clone(b.received)
}

// posted returns the statuses of what the page has posted to the push server so far, in order; 0
// for what has no answer yet.
func (b *tab) posted() (statuses []int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.posts {
		statuses = append(statuses, r.Status)
	}
	return statuses
}

// connections returns all connections of the page so far, in the order in which they were begun.
func (b *tab) connections() (list []request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		list = append(list, *r)
	}
	return list
}

// reached returns the connections that an edge has answered.
func (b *tab) reached() []request {
	return slices.DeleteFunc(b.connections(), func(r request) bool { return r.Status == 0 || r.Status >= http.StatusInternalServerError })
}

// evaluate returns the value of a JavaScript expression, or the result of its promise.
func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// online waits until the page's client is connected.
func (b *tab) online() {
	b.t.Helper()
	b.await("the client to be online", func() bool {
		return evaluate[string](b, "typeof pull === 'undefined' ? '' : pull.status") == "online"
	})
}

// refused waits until the client's WebSocket has been closed with 4010, and returns a time just
// before that, which is not before since.
func (b *tab) refused(since time.Time) (before time.Time) {
	b.t.Helper()
	before = since
	b.await("the client to be refused", func() bool {
		asked := time.Now()
		refused := b.closed(4010)
		if !refused {
			before = asked
		}
		return refused
	})
	return before
}

// offline waits until the page's client knows that its connection is gone.
func (b *tab) offline() {
	b.t.Helper()
	b.await("the client to be offline", func() bool { return evaluate[string](b, "pull.status") != "online" })
}

// await asks repeatedly until the answer is true.
func (b *tab) await(what string, yes func() bool) {
	b.t.Helper()
	if !testkit.Wait(yes) {
		b.t.Fatalf("waited %v for %s; the client says:\n%s", testkit.Patience, what, strings.Join(b.said(), "\n"))
	}
}

// heard is an event as a handler of the page received it.
type heard struct {
	Type    string // the kind of sender: "server" or "client"
	Command string
	Params  json.RawMessage
	Extra   struct {
		Sender struct {
			Type int
			ID   string
		}
	}
}

func (b *tab) heard() []heard {
	b.t.Helper()
	return evaluate[[]heard](b, "heard")
}

// numbers returns the numbers of the messages that the page has received from the portal, in order.
// A message whose text was changed fails the test.
func (b *tab) numbers() (numbers []int) {
	b.t.Helper()
	for _, e := range b.heard() {
		if e.Type != "server" || e.Command != "say" {
			continue
		}
		var params struct {
			N    int
			Text string
		}
		if err := json.Unmarshal(e.Params, &params); err != nil {
			b.t.Fatal(err)
		}
		if params.Text != text(params.N) {
			b.t.Errorf("message %d says %q", params.N, params.Text)
		}
		numbers = append(numbers, params.N)
	}
	return numbers
}

// expect waits for messages first to last, and fails the test if the page receives anything else,
// or in another order.
func (b *tab) expect(first, last int) {
	b.t.Helper()
	b.expectWithin(testkit.Patience, first, last)
}

func (b *tab) expectWithin(within time.Duration, first, last int) {
	b.t.Helper()
	var want []int
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	var got []int
	testkit.WaitFor(within, func() bool { got = b.numbers(); return len(got) >= len(want) })
	if diff := testkit.Diff(want, got); diff != "" {
		b.t.Errorf("heard:\n%s", diff)
		b.t.Log(strings.Join(b.said(), "\n"))
		b.t.FailNow()
	}
}

// said returns the client's log.
func (b *tab) said() []string {
	b.t.Helper()
	return evaluate[[]string](b, "said.map(({level, text}) => `${level}: ${text}`)")
}

// Errors that the client prints. It hides most others.
var complaint = regexp.MustCompile(`Duplicate message|PULL ERROR|[Cc]ould not (parse|decode)|unknown rpc|unknown id|No pings`)

// check fails the test if anything happened in the page that should not: an exception, a message
// delivered twice (of which the client drops the second), or one that it cannot read.
func (b *tab) check() {
	b.t.Helper()
	b.mu.Lock()
	for _, fault := range b.faults {
		b.t.Errorf("in the page of user %d: %s", b.user, fault)
	}
	b.mu.Unlock()
	for _, line := range b.said() {
		if complaint.MatchString(line) && (b.tolerates == "" || !strings.Contains(line, b.tolerates)) {
			b.t.Errorf("the client of user %d says %s", b.user, line)
		}
	}
}

// closed reports whether the client's WebSocket has been closed with a code.
func (b *tab) closed(code int) bool {
	b.t.Helper()
	return b.closes(code) > 0
}

// closes returns how often the client's WebSockets have been closed with a code.
func (b *tab) closes(code int) (n int) {
	b.t.Helper()
	for _, line := range b.said() {
		if strings.Contains(line, fmt.Sprintf("Code: %d,", code)) {
			n++
		}
	}
	return n
}
