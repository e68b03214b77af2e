package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/revoke"
	"pushgate/internal/testkit"
)

// TestRevokeByTheAdminPort runs an edge as its program does: who may act puts somebody out and
// takes it back, which is audited without secrets; mistakes are refused, each with its reason.
func TestRevokeByTheAdminPort(t *testing.T) {
	const viewToken = "the-token-of-boris-123"
	redis := miniredis.RunT(t)
	file := filepath.Join(t.TempDir(), "portals.json")
	if err := os.WriteFile(file, []byte(refusing("")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadEdge([]string{"PUSHGATE_PORTALS=" + file, "PUSHGATE_REDIS_URL=redis://" + redis.Addr(), "PUSHGATE_LISTEN=127.0.0.1:0",
		"PUSHGATE_DRAIN=0s", "PUSHGATE_ADMIN_TOKENS=anna:act:" + actToken + ",boris:view:" + viewToken})
	if err != nil {
		t.Fatal(err)
	}
	p := startEdgeProgram(t, cfg)
	defer func() { p.end(); <-p.ended }()
	do := func(token, method, path, body string) (int, string) {
		t.Helper()
		return askAdmin(t, p.admin, token, method, path, body)
	}
	list := testkit.Signer(personalKey).Sign(channel.Ref{Private: madeUp(1), Public: madeUp(2)}).String()
	own := revoke.Channel(madeUp(1))
	until := time.Now().Add(time.Hour).Unix()

	for _, path := range []string{"/admin/revoke", "/admin/restore"} {
		if status, _ := do(viewToken, "POST", path, `{"user": 17}`); status != http.StatusForbidden {
			t.Errorf("%s of who may only look: %d", path, status)
		}
	}
	if status, text := do(actToken, "POST", "/admin/revoke", fmt.Sprintf(`{"portal": "", "user": 17, "until": %d}`, until)); status != 200 || !strings.Contains(text, fmt.Sprint(until)) {
		t.Errorf("a user: %d %s", status, text)
	}
	if status, text := do(actToken, "POST", "/admin/revoke", `{"channel": "`+list+`", "for": "90m"}`); status != 200 || !strings.Contains(text, string(own)) {
		t.Errorf("a list: %d %s", status, text)
	}
	if status, text := do(actToken, "POST", "/admin/revoke", `{"portal": "`+clientID+`", "token_id": "a tab"}`); status != 200 {
		t.Errorf("of another portal: %d %s", status, text)
	}
	shown := func(portal string) (entries map[revoke.Entry]int64) {
		t.Helper()
		var answer struct{ Revocations []revocation }
		status, text := do(viewToken, "GET", "/admin/revocations?portal="+portal, "")
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
			t.Errorf("%d %s", status, text)
		}
		entries = make(map[revoke.Entry]int64)
		for _, r := range answer.Revocations {
			entries[r.Entry] = r.Until
			if r.Entry == "user:17" && (r.User != 17 || r.Kind != "user") {
				t.Errorf("%+v", r)
			}
		}
		return entries
	}
	if got := shown(""); len(got) != 2 || got["user:17"] != until || got[own] < time.Now().Add(80*time.Minute).Unix() {
		t.Errorf("put out: %v", got)
	}
	if got := shown(clientID); len(got) != 1 {
		t.Errorf("of the other portal: %v", got)
	}
	if status, text := do(actToken, "POST", "/admin/restore", `{"portal": "default", "channel": "`+list+`"}`); status != 200 {
		t.Errorf("restored: %d %s", status, text)
	}
	if got := shown("default"); len(got) != 1 {
		t.Errorf("after one was restored: %v", got)
	}

	other := testkit.Signer(sharedKey).Sign(channel.Ref{Private: madeUp(1)}).String()
	for _, c := range []struct {
		body, reason string
		status       int
	}{
		{`{"portal": "nobody", "user": 17}`, "portal is not", 404},
		{`{"user": 17, "until": 1700000000}`, "must be in the future", 400},
		{`{"user": 17, "for": "9700h"}`, "at most 400 days", 400},
		{`{"user": 17, "for": "-1h"}`, "For is not a time", 400},
		{`{"user": 17, "for": "1h", "until": 1900000000}`, "The body must be", 400},
		{`{"user": 17, "untill": 1900000000}`, "The body must be", 400},
		{`{"user": 17} {"user": 18}`, "The body must be", 400},
		{`{"user": "` + strings.Repeat("1", 70_000) + `"}`, "The body must be", 400},
		{`{}`, "Name one of", 400},
		{`{"user": 17, "token_id": "x"}`, "Name one of", 400},
		{`{"channel": "` + other + `"}`, "not signed by a key of this portal", 400},
		{`{"channel": "` + list[:6] + `…"}`, "shortened", 400},
		{`{"token": "a.b.c"}`, "The token is not valid", 400},
	} {
		status, text := do(actToken, "POST", "/admin/revoke", c.body)
		var answer struct{ Error string }
		if json.Unmarshal([]byte(text), &answer) != nil || status != c.status || !strings.Contains(answer.Error, c.reason) || !strings.HasSuffix(answer.Error, ".") {
			t.Errorf("%.60s: %d %s", c.body, status, text)
		}
	}
	if got := shown(""); len(got) != 1 {
		t.Errorf("after mistakes: %v", got)
	}
	acts, _ := redis.List("pg:audit")
	text := strings.Join(acts, "\n") + p.log.String()
	for _, part := range []string{"user 17 of portal default", "channel " + string(own)[len("channel:"):][:6] + "…", `"revoke"`, `"restore"`, "anna"} {
		if !strings.Contains(text, part) {
			t.Errorf("not audited: %s in\n%s", part, text)
		}
	}
	for _, secret := range []string{list, madeUp(1).String(), string(own)} {
		if strings.Contains(text, secret) {
			t.Error("a secret is in the logs")
		}
	}
	redis.SetError("ERR it fails")
	if status, text := do(actToken, "POST", "/admin/revoke", `{"user": 20}`); status != http.StatusServiceUnavailable || !strings.Contains(text, "Ask again") {
		t.Errorf("without Redis: %d %s", status, text)
	}
}
