package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pushgate/e2e"
	"pushgate/internal/testkit"
)

// tab is a page in a headless Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string // exceptions of scripts, and what the page's policy forbade
}

// openTab opens url. The test ends if there is no Chromium.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		e2e.Missing(t, "chromium is not installed; scripts/test installs it on a Debian machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*testkit.Patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	// Waits for the process, whose files are removed after the test.
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel() })

	p := &tab{t: t, ctx: ctx}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.fault(fmt.Sprintf("%s at %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1))
		case *log.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") {
				p.fault(e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.run(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url))
	return p
}

func (p *tab) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// check fails the test if a script of the page failed, or if the page shows a problem.
func (p *tab) check() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.t.Errorf("in the page: %s", fault)
	}
	if problems := p.text("#problems"); problems != "" {
		p.t.Errorf("the page shows: %s", problems)
	}
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// evaluate returns the value of a JavaScript expression, or the result of its promise.
func evaluate[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until a JavaScript expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(testkit.Patience)))
	if err != nil {
		p.t.Fatalf("%v: waiting for %.200s\nthe page says: %.2000s", err, expression, p.text("body"))
	}
}

// waitState waits for the state of a subscriber's column.
func (p *tab) waitState(column, state string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector('#%s-state').dataset.state === %q", column, state))
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	return evaluate[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.run(chromedp.Click(selector))
}

// publish fills in the form and sends it.
func (p *tab) publish(text string, ttl int) {
	p.t.Helper()
	p.fill(text, ttl)
	evaluate[string](p, "document.querySelector('#send-status').textContent = ''")
	p.click("#send")
	p.wait("document.querySelector('#send-status').textContent !== ''")
}

func (p *tab) fill(text string, ttl int) {
	p.t.Helper()
	for id, value := range map[string]string{"text": text, "ttl": fmt.Sprint(ttl)} {
		evaluate[bool](p, fmt.Sprintf(`(e => { e.value = %s; return e.dispatchEvent(new Event('input', {bubbles: true})); })(document.getElementById(%q))`,
			quoted(value), id))
	}
}

// quoted returns text as JavaScript.
func quoted(text string) string {
	b, _ := json.Marshal(text) // strings always have a form in JSON
	return string(b)
}

// card is a message as a column shows it.
type card struct{ MID, Channel, Text, Type, Age, State string }

// cards returns what a column shows, the newest first.
func (p *tab) cards(column string) []card {
	p.t.Helper()
	return evaluate[[]card](p, fmt.Sprintf(`[...document.querySelectorAll('#%s-messages li')].map((li) => ({
		MID: li.querySelector('.mid').textContent, Channel: li.querySelector('.channel').textContent, Text: li.querySelector('.text').textContent,
		Type: li.querySelector('.type').textContent, Age: li.querySelector('.age').textContent,
		State: li.querySelector('.badge').textContent }))`, column))
}

// waitCard waits until a column shows a text in a state, and returns the card.
func (p *tab) waitCard(column, text, state string) card {
	p.t.Helper()
	p.wait(fmt.Sprintf(`[...document.querySelectorAll('#%s-messages li')].some((li) =>
		li.dataset.state === %q && li.querySelector('.text').textContent === %s)`, column, state, quoted(text)))
	for _, c := range p.cards(column) {
		if c.Text == text && c.State == state {
			return c
		}
	}
	p.t.Fatalf("%s: %q came and went", column, text)
	return card{}
}

// clipboard returns what has been copied.
func (p *tab) clipboard() string {
	p.t.Helper()
	return evaluate[string](p, "navigator.clipboard.readText()")
}

// allowClipboard lets pages read the clipboard, for which a browser asks a person.
func (p *tab) allowClipboard() {
	p.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(p.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// screenshots writes pictures of the page to DEV_SCREENSHOTS, if that is set: light and dark on a
// desk, and on a phone.
func (p *tab) screenshots() {
	p.t.Helper()
	dir := os.Getenv("DEV_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, shot := range []struct {
		name, scheme  string
		width, height int64
		scale         float64
	}{
		{"light", "light", 1280, 800, 1},
		{"dark", "dark", 1280, 800, 1},
		{"phone", "light", 390, 844, 2},
	} {
		_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.scheme}}})
		if err != nil {
			p.t.Fatal(err)
		}
		p.run(chromedp.EmulateViewport(shot.width, shot.height, chromedp.EmulateScale(shot.scale)))
		png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			p.t.Fatal(err)
		}
		path := filepath.Join(dir, "dev-"+shot.name+".png")
		if err := os.WriteFile(path, png, 0o644); err != nil {
			p.t.Fatal(err)
		}
		p.t.Logf("screenshot: %s", path)
	}
	p.run(chromedp.EmulateViewport(1280, 800))
}
