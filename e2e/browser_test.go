package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"pushgate/internal/testkit"
)

// tab is a page of the console.
type tab struct{ *Tab }

// openTab starts a Chromium whose user reads a language. The test ends if there is none.
func openTab(t *testing.T, lang string, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	return &tab{OpenTab(t, 3*testkit.Patience, append([]chromedp.ExecAllocatorOption{chromedp.Flag("accept-lang", lang)}, more...)...)}
}

// axe returns what axe-core finds serious or critical in the page.
func (p *tab) axe() []string {
	p.T.Helper()
	code, err := os.ReadFile("client/node_modules/axe-core/axe.min.js")
	if err != nil {
		Missing(p.T, "axe-core is not installed; scripts/test installs it")
	}
	return Evaluate[[]string](p.Tab, string(code)+`;
		axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
			.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html.slice(0, 200) + " " + n.failureSummary)))`)
}

// screenshot writes a picture of the whole page to CONSOLE_SCREENSHOTS, if that is set.
func (p *tab) screenshot(name string) {
	p.T.Helper()
	dir := os.Getenv("CONSOLE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.T.Fatal(err)
	}
}
