package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
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

// Tab is a page in a headless Chromium. Its methods end the test if they fail.
type Tab struct {
	T   *testing.T
	Ctx context.Context // of chromedp

	mu     sync.Mutex
	faults []string // exceptions of scripts, and what the page's policy forbade
}

// OpenTab starts a Chromium, which ends with the test, or after most. The test ends if there is
// none.
func OpenTab(t *testing.T, most time.Duration, more ...chromedp.ExecAllocatorOption) *Tab {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		Missing(t, "chromium is not installed; scripts/test installs it on a Debian machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir())}, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	// Waits for the process, whose files are removed after the test.
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel() })

	p := &Tab{T: t, Ctx: ctx}
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
	p.Size(1280, 800)
	return p
}

func (p *Tab) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// Check fails the test if a script of a page has failed, or did what the policy forbids.
func (p *Tab) Check() {
	p.T.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.T.Errorf("in the page: %s", fault)
	}
	p.faults = nil
}

func (p *Tab) Run(actions ...chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	if err := chromedp.Do(p.Ctx, actions...); err != nil {
		p.T.Fatal(err)
	}
}

// Open shows a page.
func (p *Tab) Open(url string) {
	p.T.Helper()
	p.Run(chromedp.Navigate(url))
}

// Size sets that of the window, in pixels of the page.
func (p *Tab) Size(width, height int64) {
	p.T.Helper()
	p.Run(chromedp.EmulateViewport(width, height))
}

// Theme sets what the user prefers: light or dark.
func (p *Tab) Theme(scheme string) {
	p.T.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		p.T.Fatal(err)
	}
}

// Evaluate returns the value of a JavaScript expression, or the result of its promise.
func Evaluate[T any](p *Tab, expression string) T {
	p.T.Helper()
	value, err := chromedp.Run(p.Ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.T.Fatalf("%.300s: %v", expression, err)
	}
	return value
}

// Wait waits until a JavaScript expression is true, which may fail while a page comes.
func (p *Tab) Wait(expression string) {
	p.T.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(20 * time.Millisecond) {
		value, err := chromedp.Run(p.Ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && value {
			return
		}
		if time.Now().After(deadline) || p.Ctx.Err() != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.T.Fatalf("%v: waiting for %.300s\nfaults: %q\nthe page says: %.2000s", err, expression, p.faults, Evaluate[string](p, "document.body.innerText"))
		}
	}
}

// WaitText waits until what a selector finds shows a text.
func (p *Tab) WaitText(selector, text string) {
	p.T.Helper()
	p.Wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => e.innerText.includes(%s))", Quoted(selector), Quoted(text)))
}

// Click clicks what a selector finds, of several the one with a text.
func (p *Tab) Click(selector, text string) {
	p.T.Helper()
	p.WaitText(selector, text)
	Evaluate[bool](p, fmt.Sprintf("[...document.querySelectorAll(%s)].find((e) => e.innerText.includes(%s)).click() ?? true", Quoted(selector), Quoted(text)))
}

// Fill types into a field.
func (p *Tab) Fill(selector, text string) {
	p.T.Helper()
	p.Run(chromedp.SendKeys(selector, text))
}

// Quoted returns text as JavaScript.
func Quoted(text string) string {
	b, _ := json.Marshal(text) // strings always have a form in JSON
	return string(b)
}
