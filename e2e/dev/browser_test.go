package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"pushgate/e2e"
	"pushgate/internal/testkit"
)

// tab is the page of pushgate dev.
type tab struct{ *e2e.Tab }

// openTab opens url.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	p := &tab{e2e.OpenTab(t, 2*testkit.Patience)}
	p.Open(url)
	return p
}

// check fails the test if a script of the page failed, or if the page shows a problem.
func (p *tab) check() {
	p.T.Helper()
	p.Check()
	if problems := p.text("#problems"); problems != "" {
		p.T.Errorf("the page shows: %s", problems)
	}
}

func evaluate[T any](p *tab, expression string) T {
	p.T.Helper()
	return e2e.Evaluate[T](p.Tab, expression)
}

// waitState waits for the state of a subscriber's column.
func (p *tab) waitState(column, state string) {
	p.T.Helper()
	p.Wait(fmt.Sprintf("document.querySelector('#%s-state').dataset.state === %q", column, state))
}

func (p *tab) text(selector string) string {
	p.T.Helper()
	return evaluate[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

func (p *tab) click(selector string) {
	p.T.Helper()
	p.Run(chromedp.Click(selector))
}

// publish fills in the form and sends it.
func (p *tab) publish(text string, ttl int) {
	p.T.Helper()
	p.fill(text, ttl)
	evaluate[string](p, "document.querySelector('#send-status').textContent = ''")
	p.click("#send")
	p.Wait("document.querySelector('#send-status').textContent !== ''")
}

func (p *tab) fill(text string, ttl int) {
	p.T.Helper()
	for id, value := range map[string]string{"text": text, "ttl": fmt.Sprint(ttl)} {
		evaluate[bool](p, fmt.Sprintf(`(e => { e.value = %s; return e.dispatchEvent(new Event('input', {bubbles: true})); })(document.getElementById(%q))`,
			e2e.Quoted(value), id))
	}
}

// card is a message as a column shows it.
type card struct{ MID, Channel, Text, Type, Age, State string }

// cards returns what a column shows, the newest first.
func (p *tab) cards(column string) []card {
	p.T.Helper()
	return evaluate[[]card](p, fmt.Sprintf(`[...document.querySelectorAll('#%s-messages li')].map((li) => ({
		MID: li.querySelector('.mid').textContent, Channel: li.querySelector('.channel').textContent, Text: li.querySelector('.text').textContent,
		Type: li.querySelector('.type').textContent, Age: li.querySelector('.age').textContent,
		State: li.querySelector('.badge').textContent }))`, column))
}

// waitCard waits until a column shows a text in a state, and returns the card.
func (p *tab) waitCard(column, text, state string) card {
	p.T.Helper()
	p.Wait(fmt.Sprintf(`[...document.querySelectorAll('#%s-messages li')].some((li) =>
		li.dataset.state === %q && li.querySelector('.text').textContent === %s)`, column, state, e2e.Quoted(text)))
	for _, c := range p.cards(column) {
		if c.Text == text && c.State == state {
			return c
		}
	}
	p.T.Fatalf("%s: %q came and went", column, text)
	return card{}
}

// clipboard returns what has been copied.
func (p *tab) clipboard() string {
	p.T.Helper()
	return evaluate[string](p, "navigator.clipboard.readText()")
}

// allowClipboard lets pages read the clipboard, for which a browser asks a person.
func (p *tab) allowClipboard() {
	p.T.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(p.Ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted})
		if err != nil {
			p.T.Fatal(err)
		}
	}
}

// screenshots writes pictures of the page to DEV_SCREENSHOTS, if that is set: light and dark on a
// desk, and on a phone.
func (p *tab) screenshots() {
	p.T.Helper()
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
		_, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.scheme}}})
		if err != nil {
			p.T.Fatal(err)
		}
		p.Run(chromedp.EmulateViewport(shot.width, shot.height, chromedp.EmulateScale(shot.scale)))
		png, err := chromedp.Run(p.Ctx, chromedp.FullScreenshot(100))
		if err != nil {
			p.T.Fatal(err)
		}
		path := filepath.Join(dir, "dev-"+shot.name+".png")
		if err := os.WriteFile(path, png, 0o644); err != nil {
			p.T.Fatal(err)
		}
		p.T.Logf("screenshot: %s", path)
	}
	p.Run(chromedp.EmulateViewport(1280, 800))
}
