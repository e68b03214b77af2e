package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// acts returns the audit log as the port shows it, without times.
func (w *world) acts(query string) []proto.Act {
	w.t.Helper()
	answer := w.do("GET", "/admin/audit"+query, "", "Authorization", "Bearer "+viewToken)
	var page struct {
		Acts []proto.Act `json:"acts"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		w.t.Errorf("%d: %v", answer.StatusCode, err)
	}
	for i := range page.Acts {
		if age := time.Since(page.Acts[i].At); age < 0 || age > time.Minute {
			w.t.Errorf("an act of %v", page.Acts[i].At)
		}
		page.Acts[i].At = time.Time{}
	}
	return page.Acts
}

// TestAuditLog: over a real Redis, acts of all processes are in one log: who, from where, what, to
// whom, with which result. What only reads, and what was refused, is not in it.
func TestAuditLog(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	id := strings.Repeat("0123456789abcdef", 2)
	put := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetWhom(r, "channel "+id+" of "+strings.Repeat("z ", 200))
		w.WriteHeader(http.StatusConflict)
	})
	process := func(name string) *world {
		return newWorld(t, func(c *Config) {
			c.Process, c.Audit = name, store.New(rdb, store.Config{})
			c.Routes = []Route{{"POST /admin/put-out", Act, put, "put-out"},
				{"POST /admin/panic", Act, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }), "panic"}}
		})
	}
	edge, publisher := process("edge-0"), process("publisher-0")
	bearer := []string{"Authorization", "Bearer " + actToken, "From", "192.0.2.7:4711"}
	edge.do("PUT", "/admin/log-level", `{"level": "debug"}`, bearer...)
	edge.do("PUT", "/admin/log-level", `{"level": "loud"}`, bearer...)
	edge.do("PUT", "/admin/log-level", `{"level": "info"}`, "Authorization", "Bearer "+viewToken)
	edge.do("GET", "/admin/config", "", bearer...)
	publisher.do("GET", "/debug/pprof/heap", "", "Authorization", "Bearer "+actToken, "From", "127.0.0.1:1", "X-Forwarded-For", "10.0.0.1, 203.0.113.9")
	edge.do("POST", "/admin/put-out", "", bearer...)
	func() {
		defer func() { _ = recover() }()
		edge.do("POST", "/admin/panic", "", bearer...)
	}()
	publisher.do("POST", "/admin/drain", "", bearer...)
	act := func(process, from, what, whom, result string) proto.Act {
		return proto.Act{Who: "anna", From: from, Process: process, What: what, Whom: whom, Result: result}
	}
	const anna = "192.0.2.7"
	want := []proto.Act{
		act("publisher-0", anna, "drain", "", "done"),
		act("edge-0", anna, "panic", "", "failed 500"),
		act("edge-0", anna, "put-out", "channel 012345… of "+strings.Repeat("z ", 200)[:longestWhom-21]+"…", "failed 409"),
		act("publisher-0", "203.0.113.9", "pprof", "heap", "done"),
		act("edge-0", anna, "log-level", "", "failed 400"),
		act("edge-0", anna, "log-level", "debug", "done"),
	}
	if diff := testkit.Diff(want, publisher.acts("")); diff != "" {
		t.Error(diff)
	}
	if diff := testkit.Diff(want[:2], edge.acts("?count=2")); diff != "" {
		t.Error(diff)
	}
	for _, count := range []string{"0", "-1", "1001", "x"} {
		if answer := edge.do("GET", "/admin/audit?count="+count, "", bearer...); answer.StatusCode != 400 {
			t.Errorf("count %s: %d", count, answer.StatusCode)
		}
	}
	if done, failed := edge.metric("pushgate_admin_acts_total", "done"), edge.metric("pushgate_admin_acts_total", "failed"); done != 1 || failed != 3 {
		t.Errorf("%v done, %v failed", done, failed)
	}
	for _, secret := range []string{id, actToken, viewToken} {
		if all := server.Must("LINDEX", "pg:audit", "3") + edge.log.String() + publisher.log.String(); strings.Contains(all, secret[:8]) {
			t.Errorf("%s is shown", secret)
		}
	}
}

// TestActWithoutRedis: an act is done though it cannot be written to the audit log, and is in the
// log of the process at any level.
func TestActWithoutRedis(t *testing.T) {
	w := newWorld(t, nil)
	w.audit.down = true
	w.level.Set(slog.LevelError)
	bearer := []string{"Authorization", "Bearer " + actToken}
	if answer := w.do("POST", "/admin/drain", "", bearer...); answer.StatusCode != 202 || fmt.Sprint(w.drained) != "[anna]" {
		t.Errorf("%d, %v", answer.StatusCode, w.drained)
	}
	if text := w.log.String(); !strings.Contains(text, "who=anna") || !strings.Contains(text, "what=drain") {
		t.Errorf("logged: %s", text)
	}
	if n := w.metric("pushgate_admin_audit_failures_total", ""); n != 1 {
		t.Errorf("%v counted", n)
	}
	answer := w.do("GET", "/admin/audit", "", bearer...)
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 503 || !strings.Contains(string(text), "Redis") {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

// TestActOfAClientThatHangsUp: it is in the audit log.
func TestActOfAClientThatHangsUp(t *testing.T) {
	w := newWorld(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	r := httptest.NewRequestWithContext(ctx, "POST", "http://127.0.0.1/admin/drain", nil)
	r.Header.Set("Authorization", "Bearer "+actToken)
	w.handler.ServeHTTP(httptest.NewRecorder(), r)
	if len(w.audit.acts) != 1 {
		t.Errorf("%d acts", len(w.audit.acts))
	}
}

// TestLogLevel: the level of the process changes with the answer, and to nothing unknown.
func TestLogLevel(t *testing.T) {
	w := newWorld(t, nil)
	bearer := []string{"Authorization", "Bearer " + actToken}
	for _, c := range []struct {
		body   string
		status int
		level  slog.Level
	}{
		{`{"level": "debug"}`, 200, slog.LevelDebug}, {`{"level": "error"}`, 200, slog.LevelError}, {`{"level": "loud"}`, 400, slog.LevelError},
		{`{"level": "info+2"}`, 400, slog.LevelError}, {`debug`, 400, slog.LevelError}, {``, 400, slog.LevelError},
		{`{"x": "` + strings.Repeat("x", mostBody) + `", "level": "debug"}`, 400, slog.LevelError},
	} {
		answer := w.do("PUT", "/admin/log-level", c.body, bearer...)
		if answer.StatusCode != c.status || w.level.Level() != c.level {
			t.Errorf("%.30s: %d, %v", c.body, answer.StatusCode, w.level.Level())
		}
	}
	answer := w.do("GET", "/admin/log-level", "", bearer...)
	if text, _ := io.ReadAll(answer.Body); strings.TrimSpace(string(text)) != `{"level":"error"}` {
		t.Errorf("%s", text)
	}
}

// TestActsAreAudited: a route that does something cannot be registered without a name for the audit
// log.
func TestActsAreAudited(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewGuard(Config{Level: new(slog.LevelVar), Routes: []Route{{"POST /admin/x", Act, http.NotFoundHandler(), ""}}}, prometheus.NewRegistry())
}
