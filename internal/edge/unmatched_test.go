package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

// TestWrongKeyOfThePortalLeavesALine: clients of a portal whose key is another one than the edge's
// are refused, and one line a minute says what to look at. It holds no secret.
func TestWrongKeyOfThePortalLeavesALine(t *testing.T) {
	other, err := sign.New("sha1", []byte("another key of the tests"))
	if err != nil {
		t.Fatal(err)
	}
	list := other.Sign(channel.Ref{Private: alice}).String()
	token := other.SignToken(sign.Token{User: 7, Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}, "", time.Now())
	for name, url := range map[string]func(*world) string{
		"list":  func(w *world) string { return w.url("/bitrix/sub/more", list) },
		"token": func(w *world) string { return w.url("/bitrix/sub/", "", "token", token) },
	} {
		t.Run(name, func(t *testing.T) {
			var lines strings.Builder
			inWorldOf(t, newPipe, func(s *settings) { s.Lines = &lines }, func(t *testing.T, w *world) {
				warnings := func() int { return strings.Count(lines.String(), "level=WARN") }
				ask := func() {
					if got := <-w.get(url(w)); got.status != 400 {
						t.Errorf("%d, %v", got.status, got.err)
					}
					synctest.Wait()
				}
				for range 3 {
					ask()
				}
				if warnings() != 1 {
					t.Errorf("three refusals at once: %s", lines.String())
				}
				time.Sleep(unmatchedInterval)
				ask()
				for _, want := range []string{"portal=default", "route=/bitrix/sub ", "times=3", "PUSHGATE_KEYS", "Push and Pull"} {
					if !strings.Contains(lines.String(), want) || warnings() != 2 {
						t.Errorf("no %q in %s", want, lines.String())
					}
				}
				if text := lines.String(); strings.Contains(text, alice.String()) || strings.Contains(text, list[33:]) || strings.Contains(text, token) {
					t.Errorf("the log tells secrets: %s", text)
				}
			})
		})
	}
}

// TestWrongFormIsNoWrongKey: a list that no portal makes says nothing about keys. It leaves a line
// with what is wrong.
func TestWrongFormIsNoWrongKey(t *testing.T) {
	expired := signer.SignToken(sign.Token{User: 7, Expires: time.Unix(1, 0)}, "", time.Unix(0, 0))
	for _, c := range []struct{ list, token, want string }{
		{"letters-of-the-first-generation", "", "malformed channel id"},
		{"letters-of-the-first-generation", "", "PUSHGATE_CHANNEL_GRAMMAR=1"},
		{"", "", "no channel id"},
		{"", "not.a.token", "wrong token"},
		{"", expired, "expired"},
	} {
		var lines strings.Builder
		inWorldOf(t, newPipe, func(s *settings) { s.Lines = &lines }, func(t *testing.T, w *world) {
			for range 2 {
				<-w.get(w.url("/bitrix/sub/", c.list, "token", c.token))
			}
			text := lines.String()
			if strings.Count(text, "subscription refused") != 1 || !strings.Contains(text, c.want) || !strings.Contains(text, "route=/bitrix/sub ") {
				t.Errorf("list %q, token %q: no %q in %s", c.list, c.token, c.want, text)
			}
			if strings.Contains(text, "no key") || strings.Contains(text, expired) || strings.Contains(text, "letters-of") {
				t.Error(text)
			}
		})
	}
}

// TestRefusedPageLeavesALine: the browser of a page that PUSHGATE_ORIGINS does not list shows only
// a failed request, so the edge says which page it was.
func TestRefusedPageLeavesALine(t *testing.T) {
	var lines strings.Builder
	inWorldOf(t, newPipe, func(s *settings) { s.Lines, s.Origins = &lines, []string{"portal.example.com"} }, func(t *testing.T, w *world) {
		for range 2 {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", w.url("/bitrix/sub/", signed(alice)), nil)
			r.Header.Set("Origin", "https://other.example.com")
			answer, err := w.http.Do(r)
			if err != nil || answer.StatusCode != 403 {
				t.Fatal(answer, err)
			}
			answer.Body.Close()
		}
		text := lines.String()
		if strings.Count(text, "page refused") != 1 || !strings.Contains(text, "origin=https://other.example.com ") || !strings.Contains(text, "PUSHGATE_ORIGINS") {
			t.Error(text)
		}
		if strings.Contains(text, alice.String()) {
			t.Errorf("the log tells secrets: %s", text)
		}
	})
}
