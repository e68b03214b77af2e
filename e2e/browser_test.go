package e2e

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

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"pushgate/internal/testkit"
)

// tab is a page in a headless Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string // exceptions of scripts, and what the page's policy forbade
}

// openTab starts a Chromium whose user reads a language. The test ends if there is none.
func openTab(t *testing.T, lang string, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		Missing(t, "chromium is not installed; scripts/test installs it on a Debian machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*testkit.Patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("accept-lang", lang), chromedp.UserDataDir(t.TempDir())}, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	// Waits for the process, whose files are removed after the test.
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel() })

	p := &tab{t: t, ctx: ctx}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.fault(fmt.Sprintf("%s at %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1))
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" && len(e.Args) > 0 {
				p.fault(fmt.Sprintf("console: %s %s", e.Args[0].Description, e.Args[0].Value))
			}
		case *log.EventEntryAdded:
			if text := e.Entry.Text; strings.Contains(text, "Content Security Policy") || strings.Contains(text, "TrustedHTML") || strings.Contains(text, "Trusted Type") {
				p.fault(text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.size(1280, 800)
	return p
}

func (p *tab) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// check fails the test if a script of a page has failed, or did what the policy forbids.
func (p *tab) check() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.t.Errorf("in the page: %s", fault)
	}
	p.faults = nil
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// open shows a page.
func (p *tab) open(url string) {
	p.t.Helper()
	p.run(chromedp.Navigate(url))
}

// size sets that of the window, in pixels of the page.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	p.run(chromedp.EmulateViewport(width, height))
}

// theme sets what the user prefers: light or dark.
func (p *tab) theme(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// evaluate returns the value of a JavaScript expression, or the result of its promise.
func evaluate[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.300s: %v", expression, err)
	}
	return value
}

// wait waits until a JavaScript expression is true, which may fail while a page comes.
func (p *tab) wait(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(20 * time.Millisecond) {
		value, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && value {
			return
		}
		if time.Now().After(deadline) || p.ctx.Err() != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("%v: waiting for %.300s\nfaults: %q\nthe page says: %.2000s", err, expression, p.faults, evaluate[string](p, "document.body.innerText"))
		}
	}
}

// waitText waits until what a selector finds shows a text.
func (p *tab) waitText(selector, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => e.innerText.includes(%s))", quoted(selector), quoted(text)))
}

// click clicks what a selector finds, of several the one with a text.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	p.waitText(selector, text)
	evaluate[bool](p, fmt.Sprintf("[...document.querySelectorAll(%s)].find((e) => e.innerText.includes(%s)).click() ?? true", quoted(selector), quoted(text)))
}

// fill types into a field.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.run(chromedp.SendKeys(selector, text))
}

// quoted returns text as JavaScript.
func quoted(text string) string {
	b, _ := json.Marshal(text) // strings always have a form in JSON
	return string(b)
}

// axe returns what axe-core finds serious or critical in the page.
func (p *tab) axe() []string {
	p.t.Helper()
	code, err := os.ReadFile("client/node_modules/axe-core/axe.min.js")
	if err != nil {
		Missing(p.t, "axe-core is not installed; scripts/test installs it")
	}
	return evaluate[[]string](p, string(code)+`;
		axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
			.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html.slice(0, 200) + " " + n.failureSummary)))`)
}

// screenshot writes a picture of the whole page to CONSOLE_SCREENSHOTS, if that is set.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	dir := os.Getenv("CONSOLE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
