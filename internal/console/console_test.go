package console

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// handler returns an admin port that has only the console.
func handler() http.Handler {
	guard := admin.NewGuard(admin.Config{Process: "edge-0", Level: new(slog.LevelVar), Logger: slog.New(slog.DiscardHandler), Routes: Routes()}, prometheus.NewRegistry())
	return admin.Handler(func() error { return nil }, nil, prometheus.NewRegistry(), guard)
}

// get makes a request of somebody without a token; header has pairs of name and value.
func get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9100"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	handler().ServeHTTP(answer, r)
	return answer
}

var address = regexp.MustCompile(`(?:src|href)="([^"#]+)"`)

// TestPage: without a token anybody at the admin port gets the page and all that it names, which
// are kept for ever; the page is compared each time. Nothing in it comes from elsewhere or runs
// inside it.
func TestPage(t *testing.T) {
	page := get(t, "/admin/")
	tag := page.Header().Get("ETag")
	if page.Code != 200 || tag == "" || page.Header().Get("Cache-Control") != "no-cache" || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	if again := get(t, "/admin/", "If-None-Match", tag); again.Code != 304 {
		t.Errorf("the same page: %d", again.Code)
	}
	named := address.FindAllStringSubmatch(page.Body.String(), -1)
	for _, match := range named {
		if match[1] == "/metrics" || match[1] == "/readyz?verbose" {
			continue
		}
		file := get(t, match[1])
		if file.Code != 200 || !strings.Contains(file.Header().Get("Cache-Control"), "immutable") || file.Body.Len() == 0 {
			t.Errorf("%s: %d %v", match[1], file.Code, file.Header())
		}
	}
	if len(named) < 10 {
		t.Errorf("the page names %d files", len(named))
	}
	for _, path := range []string{"/", "/admin"} {
		if to := get(t, path); to.Code != 302 || to.Header().Get("Location") != "/admin/" {
			t.Errorf("%s: %d %v", path, to.Code, to.Header())
		}
	}
}

// TestPolicy: every answer forbids what is not the console's own: other hosts, code within the
// page, frames, and elements made of text.
func TestPolicy(t *testing.T) {
	base := "/admin/static/" + load().build + "/"
	for _, path := range []string{"/admin/", base + "js/main.js", base + "css/base.css", base + "icon.svg"} {
		h := get(t, path).Header()
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "base-uri 'none'", "form-action 'self'",
			"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: no %s in %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// TestOtherFiles: what is not a file of this build is not there.
func TestOtherFiles(t *testing.T) {
	base := "/admin/static/" + load().build + "/"
	for _, path := range []string{base, base + "js", base + "index.html", base + "js/none.js", base + "..%2fconsole.go", base + "%2e%2e/console.go", "/admin/static/0123456789abcdef/js/main.js", "/admin/static/js/main.js"} {
		if answer := get(t, path); answer.Code != 404 && answer.Code != 301 && answer.Code != 307 || strings.Contains(answer.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, answer.Code, answer.Header())
		}
	}
	if answer := get(t, "/admin/", "Host", "evil.test"); answer.Code != 200 {
		t.Error("the header is not the host of a request")
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://evil.test/admin/", nil)
	answer := httptest.NewRecorder()
	handler().ServeHTTP(answer, r)
	if answer.Code != 403 {
		t.Errorf("another name: %d", answer.Code)
	}
}

// TestRoutes: the console only shows; what it does, it does by the routes of others.
func TestRoutes(t *testing.T) {
	for _, route := range Routes() {
		if route.Role != admin.Open || route.Audit != "" || !strings.HasPrefix(route.Pattern, "GET ") {
			t.Errorf("%+v", route)
		}
	}
}

// ours calls f with each text of the console that is not a library's.
func ours(t *testing.T, f func(name, text string)) {
	t.Helper()
	files := load().files
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		f(name, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forbidden are ways from a text to elements, code, styles or other hosts.
var forbidden = regexp.MustCompile(`(?i)(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|new Function|\bsrcdoc\b|javascript:|` +
	`\sstyle=|<style|\son[a-z]+="|setAttribute\("(on|style)|https?:|//cdn`)

// TestNoMarkupFromText reads the sources for what the policy would stop in a browser that knows it.
func TestNoMarkupFromText(t *testing.T) {
	seen := 0
	ours(t, func(name, text string) {
		seen++
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a name, not an address
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
		if lines := strings.Count(text, "\n"); lines > 400 && !strings.HasPrefix(name, "lang/") {
			t.Errorf("%s has %d lines", name, lines)
		}
	})
	if seen < 20 {
		t.Errorf("%d files", seen)
	}
}

// TestLibrary: the one library is there with its licence, and its folder names the version.
func TestLibrary(t *testing.T) {
	code, err := fs.ReadFile(load().files, "vendor/uplot-1.6.32/uPlot.iife.min.js")
	if err != nil || !strings.Contains(string(code), "(v1.6.32)") {
		t.Error("another version of uPlot", err)
	}
	licence, err := fs.ReadFile(load().files, "vendor/uplot-1.6.32/LICENSE")
	if err != nil || !strings.Contains(string(licence), "MIT License") {
		t.Error("no licence", err)
	}
}
