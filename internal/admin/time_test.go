package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuessesArePaced: beyond some wrong tokens a minute an address gets 429, and beyond more of
// them every address; a right token is taken all the time, from the same address, too.
func TestGuessesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		guess := func(token, from string) *http.Response {
			return w.do("GET", "/admin/whoami", "", "Authorization", "Bearer "+token, "From", from)
		}
		expect := func(what string, answer *http.Response, status int, after string) {
			t.Helper()
			if answer.StatusCode != status || answer.Header.Get("Retry-After") != after {
				t.Errorf("%s: %d, Retry-After %q", what, answer.StatusCode, answer.Header.Get("Retry-After"))
			}
		}
		for range guessesOfOne {
			expect("first", guess("x", "192.0.2.1:1"), 401, "")
			time.Sleep(time.Second)
		}
		expect("beyond", guess("x", "192.0.2.1:2"), 429, "55")
		expect("right, from the same address", guess(viewToken, "192.0.2.1:3"), 200, "")
		expect("without a token", w.do("GET", "/admin/whoami", "", "From", "192.0.2.1:3"), 401, "")
		expect("elsewhere", guess("x", "192.0.2.2:1"), 401, "")
		for i := range guessesOfOne + 1 { // of one network of IPv6
			status, after := 401, ""
			if i == guessesOfOne {
				status, after = 429, "55"
			}
			expect("of IPv6", guess("x", fmt.Sprintf("[2001:db8::%x]:1", i)), status, after)
		}
		if n := w.metric("pushgate_admin_refused_total", "paced"); n != 2 {
			t.Errorf("%v paced", n)
		}
		time.Sleep(guessWindow)
		for i := range guessesOfAll {
			expect("of many", guess("x", fmt.Sprintf("198.51.100.%d:1", i)), 401, "")
		}
		expect("one of many", guess("x", "203.0.113.1:1"), 429, "60")
		expect("right among many", guess(viewToken, "198.51.100.1:1"), 200, "")
		time.Sleep(guessWindow)
		expect("later", guess("x", "192.0.2.1:1"), 401, "")
	})
}

// TestGuessesInTheFormWereNotLogged: up to the pace, wrong tokens in the form of the login left no
// line in the log, unlike those in a header.
func TestGuessesInTheFormWereNotLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.do("POST", "/admin/login", "token=x", "Content-Type", "application/x-www-form-urlencoded")
	if text := w.log.String(); !strings.Contains(text, "wrong tokens at the admin port") || !strings.Contains(text, "last_from=192.0.2.1") {
		t.Errorf("logged: %s", text)
	}
}

// TestGuessersAreBounded: addresses without end take no memory without end.
func TestGuessersAreBounded(t *testing.T) {
	var g guesses
	now := time.Now()
	for i := range 10 * guessersCounted {
		g.count(fmt.Sprintf("10.1.%d.%d", i/256, i%256), now)
	}
	if len(g.of) != guessersCounted {
		t.Errorf("%d addresses", len(g.of))
	}
}

// TestCookieEnds: with its time, and with its token.
func TestCookieEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t, nil)
		other := newWorld(t, func(c *Config) { c.Process = "publisher-0" })
		demoted := newWorld(t, func(c *Config) { c.Tokens[1].Role = View })
		changed := newWorld(t, func(c *Config) { c.Tokens[1].Secret += "x" })
		removed := newWorld(t, func(c *Config) { c.Tokens = c.Tokens[:1] })
		cookie := first.login(actToken)
		act := func(w *world) *http.Response {
			return w.do("PUT", "/admin/log-level", `{"level": "debug"}`, "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
		}
		// A logout only asks the browser to forget the cookie.
		first.do("POST", "/admin/logout", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
		time.Sleep(cookieLife - time.Second)
		for name, c := range map[string]struct {
			world  *world
			status int
		}{
			"the same": {first, 200}, "another process": {other, 200}, "the role is view now": {demoted, 403}, "the token was changed": {changed, 401}, "the token was removed": {removed, 401},
		} {
			answer := act(c.world)
			if answer.StatusCode != c.status {
				t.Errorf("%s: %d", name, answer.StatusCode)
			}
			if taken := len(answer.Cookies()) == 1; taken != (c.status == 401) {
				t.Errorf("%s: cookies %v", name, answer.Cookies())
			}
		}
		time.Sleep(time.Second)
		for range 2 * guessesOfOne { // an old cookie is no guess
			if answer := act(first); answer.StatusCode != 401 {
				t.Errorf("expired: %d", answer.StatusCode)
			}
		}
	})
}
