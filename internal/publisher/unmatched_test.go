package publisher

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

// TestWrongKeyOfThePortalLeavesALine: what a portal sends with another key than the publisher's is
// refused, and one line a minute says what to look at. It holds no secret.
func TestWrongKeyOfThePortalLeavesALine(t *testing.T) {
	other := testkit.Signer("another key of sixteen bytes")
	for _, c := range []struct{ method, target, body, route string }{
		{"POST", "/bitrix/pub/x?CHANNEL_ID=" + idA + "&signature=" + other.SignBody([]byte("hello")), "hello", "route=/bitrix/pub "},
		{"POST", "/bitrix/pub?CHANNEL_ID=" + idA + "&signature=" + strings.Repeat("0", 64), "hello", "route=/bitrix/pub "}, // of another algorithm
		{"POST", "/api/?signature=" + other.SignBody([]byte("{}")), "{}", "route=/api "},
		{"GET", "/bitrix/pub/?CHANNEL_ID=" + idA + "&signature=" + other.SignBody([]byte(idA)), "", "route=/bitrix/pub "},
		{"POST", "/bitrix/rest/?CHANNEL_ID=" + idA + ":" + idB + "." + other.SignBody([]byte(idA+":"+idB)), "x", "route=/bitrix/rest "},
	} {
		synctest.Test(t, func(t *testing.T) {
			var lines strings.Builder
			p := newLogging(config(t), &fake{}, slog.New(slog.NewTextHandler(&lines, nil)))
			ask := func() {
				r := request(c.method, c.target, c.body)
				r.RemoteAddr = "192.0.2.1:5000"
				if w := p.do(r); w.Code != 400 && w.Code != 403 {
					t.Errorf("%s: %d", c.target, w.Code)
				}
			}
			for range 3 {
				ask()
			}
			if strings.Count(lines.String(), "level=WARN") != 1 {
				t.Errorf("%s, three refusals at once: %s", c.target, lines.String())
			}
			time.Sleep(unmatchedInterval)
			ask()
			for _, want := range []string{"portal=default", "method=" + c.method, c.route, "times=3", "PUSHGATE_KEYS", "Push and Pull"} {
				if text := lines.String(); !strings.Contains(text, want) || strings.Count(text, "level=WARN") != 2 {
					t.Errorf("%s: no %q in %s", c.target, want, text)
				}
			}
			_, signature, _ := strings.Cut(c.target, "signature=")
			if text := lines.String(); strings.Contains(text, idA) || signature != "" && strings.Contains(text, signature) {
				t.Errorf("the log tells secrets: %s", text)
			}
		})
	}
}
