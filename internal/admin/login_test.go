package admin

import (
	"io"
	"strings"
	"testing"
)

// TestLoginForm: it speaks the language that the console says, or else that of the browser; it goes
// to the address at which it is, so that the browser keeps the place in the console; after a wrong
// token it says so.
func TestLoginForm(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct{ query, accepted, want string }{
		{"", "", `lang="en"`},
		{"", "de-DE,de;q=0.9", `lang="en"`},
		{"", "ru-RU,ru;q=0.9,en;q=0.8", `lang="ru"`},
		{"", "de, ru;q=0.5, en;q=0.4", `lang="ru"`},
		{"", "en-GB,en;q=0.9,ru;q=0.8", `lang="en"`},
		{"?lang=en", "ru", `lang="en"`},
		{"?lang=ru", "en", `lang="ru"`},
		{"?lang=%3Cscript%3E", "ru", `lang="ru"`},
	} {
		answer := w.do("GET", "/admin/login"+c.query, "", "Accept-Language", c.accepted)
		body, _ := io.ReadAll(answer.Body)
		if text := string(body); !strings.Contains(text, c.want) || strings.Contains(text, "action=") || strings.Contains(text, "script") {
			t.Errorf("%s %s: %s", c.query, c.accepted, text)
		}
	}
	for lang, want := range map[string]string{"en": "The token or cookie is none", "ru": "Такого токена"} {
		answer := w.do("POST", "/admin/login?lang="+lang, "token=x", "Content-Type", "application/x-www-form-urlencoded")
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 401 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", lang, answer.StatusCode, body)
		}
	}
	answer := w.do("POST", "/admin/login?lang=ru", "token="+viewToken, "Content-Type", "application/x-www-form-urlencoded")
	if to := answer.Header.Get("Location"); answer.StatusCode != 303 || to != "/admin/" {
		t.Errorf("after the login: %d %s", answer.StatusCode, to)
	}
}
