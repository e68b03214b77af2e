package edge

import (
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

// TestWrongFormIsNoWrongKey: a list that no portal makes says nothing about keys.
func TestWrongFormIsNoWrongKey(t *testing.T) {
	var lines strings.Builder
	inWorldOf(t, newPipe, func(s *settings) { s.Lines = &lines }, func(t *testing.T, w *world) {
		for _, query := range [][2]string{{"wrong", ""}, {"", "not.a.token"}} {
			<-w.get(w.url("/bitrix/sub/", query[0], "token", query[1]))
		}
		if strings.Contains(lines.String(), "signature") {
			t.Error(lines.String())
		}
	})
}
