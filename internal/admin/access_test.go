package admin

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// credentials are the ways to come to the admin port, as headers, and the role that they have;
// refused is the status that they get at a route of any role.
func credentials(w *world) map[string]struct {
	header  []string
	role    Role
	refused int
} {
	view, act := w.login(viewToken), w.login(actToken)
	type way = struct {
		header  []string
		role    Role
		refused int
	}
	return map[string]way{
		"no token":                      {nil, Open, 401},
		"a wrong token":                 {[]string{"Authorization", "Bearer " + strings.Repeat("x", 24)}, Open, 401},
		"a part of a token":             {[]string{"Authorization", "Bearer " + actToken[:23]}, Open, 401},
		"an empty token":                {[]string{"Authorization", "Bearer "}, Open, 401},
		"another scheme":                {[]string{"Authorization", "Basic " + actToken}, Open, 401},
		"two tokens":                    {[]string{"Authorization", "Bearer " + actToken, "Authorization", "Bearer " + viewToken}, Open, 401},
		"a token for view":              {[]string{"Authorization", "Bearer " + viewToken}, View, 403},
		"a token for act":               {[]string{"Authorization", "bearer " + actToken}, Act, 0},
		"a wrong token, a right cookie": {[]string{"Authorization", "Bearer x", "Cookie", act, "Sec-Fetch-Site", "same-origin"}, Open, 401},
		"a cookie for view":             {[]string{"Cookie", view, "Sec-Fetch-Site", "same-origin"}, View, 403},
		"a cookie for act":              {[]string{"Cookie", act, "Sec-Fetch-Site", "same-origin"}, Act, 0},
		"a cookie, and Origin only":     {[]string{"Cookie", act, "Origin", "http://127.0.0.1:9100"}, Act, 0},
		"a cookie after another's":      {[]string{"Cookie", "pushgate_admin=x; " + act, "Sec-Fetch-Site", "same-origin"}, Act, 0},
		"a cookie of view named anna":   {[]string{"Cookie", strings.Replace(view, "vera", "anna", 1), "Sec-Fetch-Site", "same-origin"}, Open, 401},
		"a cookie, cross-site":          {[]string{"Cookie", act, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, Open, 403},
		"a cookie, another port":        {[]string{"Cookie", act, "Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080"}, Open, 403},
		"a token, another name":         {[]string{"Authorization", "Bearer " + actToken, "Host", "evil.test"}, Open, 403},
		"a cookie, another name":        {[]string{"Cookie", act, "Sec-Fetch-Site", "same-origin", "Host", "evil.test:9100"}, Open, 403},
		"a token, the right name":       {[]string{"Authorization", "Bearer " + actToken, "Host", "push.example.com"}, Act, 0},
	}
}

// TestWhoMay tries every route of a guard with every credential: all that it serves, and one of
// another package for each role.
func TestWhoMay(t *testing.T) {
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, CallerOf(r).Name) })
	w := newWorld(t, func(c *Config) {
		c.Routes = []Route{{"GET /admin/see", View, own, ""}, {"POST /admin/do", Act, own, "do"}}
	})
	routes := []struct {
		method, path, body string
		role               Role
	}{
		{"GET", "/admin/whoami", "", View}, {"GET", "/admin/config", "", View}, {"GET", "/admin/audit", "", View},
		{"GET", "/admin/log-level", "", View}, {"PUT", "/admin/log-level", `{"level": "warn"}`, Act}, {"POST", "/admin/drain", "", Act},
		{"POST", "/admin/rebalance", "", Act}, {"GET", "/debug/pprof/", "", Act}, {"GET", "/debug/pprof/heap", "", Act}, {"GET", "/debug/pprof/goroutine?debug=1", "", Act}, {"GET", "/debug/pprof/cmdline", "", Act},
		{"GET", "/debug/pprof/profile?seconds=x", "", Act}, {"GET", "/debug/pprof/symbol", "", Act}, {"GET", "/debug/pprof/trace?seconds=0.001", "", Act},
		{"GET", "/admin/see", "", View}, {"POST", "/admin/do", "", Act},
	}
	for name, who := range credentials(w) {
		for _, route := range routes {
			if strings.HasPrefix(route.path, "/debug/pprof/profile") && who.role == Act {
				continue // it takes 30 s
			}
			header := who.header
			w.drained = nil
			before := w.metric("pushgate_admin_acts_total", "")
			answer := w.do(route.method, route.path, route.body, header...)
			body, _ := io.ReadAll(answer.Body)
			switch got := answer.StatusCode; {
			case who.role >= route.role && (got < 200 || got > 299):
				t.Errorf("%s, %s %s: %d %s", name, route.method, route.path, got, body)
			case who.role < route.role && got != who.refused && got != http.StatusTooManyRequests:
				t.Errorf("%s, %s %s: %d %s, want %d", name, route.method, route.path, got, body, who.refused)
			case who.role < route.role && (w.drained != nil || w.metric("pushgate_admin_acts_total", "") != before):
				t.Errorf("%s, %s %s: something was done", name, route.method, route.path)
			}
			if h := answer.Header; h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Security-Policy") == "" {
				t.Errorf("%s %s: %v", route.method, route.path, h)
			}
		}
	}
	for _, pattern := range w.patterns() { // so that the table is complete
		method, path, _ := strings.Cut(pattern, " ")
		if !slices.ContainsFunc(routes, func(r struct {
			method, path, body string
			role               Role
		}) bool {
			base, _, _ := strings.Cut(r.path, "?")
			return r.method == method && base == path
		}) {
			t.Errorf("%s is not in the table", pattern)
		}
	}
}

// patterns returns the patterns of the routes that need a role.
func (w *world) patterns() (all []string) {
	for _, route := range new(Guard).own() {
		if route.Role > Open {
			all = append(all, route.Pattern)
		}
	}
	return all
}

// TestUnsafeRequestWithACookieProvesItsSite: what a form of another site, or an old browser, sends
// without either header does nothing, though [http.CrossOriginProtection] would allow it.
func TestUnsafeRequestWithACookieProvesItsSite(t *testing.T) {
	w := newWorld(t, nil)
	cookie := w.login(actToken)
	for _, header := range [][]string{nil, {"Origin", "null"}, {"Origin", "https://127.0.0.1:9101"}, {"Sec-Fetch-Site", "same-site"}} {
		if answer := w.do("POST", "/admin/drain", "", append(header, "Cookie", cookie)...); answer.StatusCode != 403 || w.drained != nil {
			t.Errorf("%v: %d", header, answer.StatusCode)
		}
	}
	if n := w.metric("pushgate_admin_refused_total", "cross_site"); n != 4 {
		t.Errorf("%v counted", n)
	}
}

// TestWithoutTokens: nobody has a role, and the answer names the setting; what was always open is
// open.
func TestWithoutTokens(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Tokens = nil })
	for _, request := range []string{"POST /admin/drain", "PUT /admin/log-level", "GET /admin/audit", "GET /debug/pprof/", "POST /admin/login"} {
		method, path, _ := strings.Cut(request, " ")
		for _, header := range [][]string{nil, {"Authorization", "Bearer "}, {"Authorization", "Bearer " + actToken}, {"Cookie", "pushgate_admin=:9999999999:"}} {
			answer := w.do(method, path, "token=", append(header, "Content-Type", "application/x-www-form-urlencoded")...)
			if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 403 || !strings.Contains(string(body), "set PUSHGATE_ADMIN_TOKENS") {
				t.Errorf("%s %v: %d %s", request, header, answer.StatusCode, body)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if answer := w.do("GET", path, "", "Host", "edge-0.internal:9100"); answer.StatusCode != 200 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// TestLogin: the cookie is for scripts of no page, and of no other site or path; it is for TLS only
// if the form came by TLS.
func TestLogin(t *testing.T) {
	w := newWorld(t, nil)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, proto := range []string{"http", "https"} {
		answer := w.do("POST", "/admin/login", "token="+actToken, append(form, "X-Forwarded-Proto", proto)...)
		c := answer.Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/admin/" || c.Domain != "" || c.MaxAge != 12*3600 || c.Secure != (proto == "https") {
			t.Errorf("%s: %v", proto, c)
		}
		if strings.Contains(c.Value, actToken[:8]) {
			t.Error("the cookie shows the token")
		}
	}
	for name, answer := range map[string]*http.Response{
		"a wrong token": w.do("POST", "/admin/login", "token=x", form...),
		"no token":      w.do("POST", "/admin/login", "", form...),
		"much":          w.do("POST", "/admin/login", "a="+strings.Repeat("x", mostBody)+"&token="+actToken, form...),
		"in the query":  w.do("POST", "/admin/login?token="+actToken, "", form...),
	} {
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 401 || len(answer.Cookies()) != 0 || !strings.Contains(string(body), "<form") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, body)
		}
	}
	cross := w.do("POST", "/admin/login", "token="+actToken, append(form, "Origin", "https://evil.test")...)
	if cross.StatusCode != 403 || len(cross.Cookies()) != 0 {
		t.Errorf("a form of another site: %d", cross.StatusCode)
	}
	out := w.do("POST", "/admin/logout", "", "Sec-Fetch-Site", "same-origin")
	if c := out.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 || c[0].Path != "/admin/" {
		t.Errorf("logout: %v", c)
	}
	if page := w.do("GET", "/admin/login", ""); page.StatusCode != 200 {
		t.Errorf("form: %d", page.StatusCode)
	}
}
