package server

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"pushgate/internal/config"
)

const actToken = "the-token-of-anna-0123"

// TestAdminPortOfAProgram runs an edge as its program does: without tokens the admin port can only
// be read; with them, its owner sees the settings, changes the level of the logs, and makes it
// leave with an answer that arrives.
func TestAdminPortOfAProgram(t *testing.T) {
	for _, tokens := range []string{"", "anna:act:" + actToken} {
		redis := miniredis.RunT(t)
		redis.RequireAuth(password)
		cfg, err := config.LoadEdge([]string{"PUSHGATE_KEYS=" + key, "PUSHGATE_REDIS_URL=redis://:" + password + "@" + redis.Addr(), "PUSHGATE_LISTEN=127.0.0.1:0",
			"PUSHGATE_DRAIN=0s", "PUSHGATE_ADMIN_TOKENS=" + tokens})
		if err != nil {
			t.Fatal(err)
		}
		p := startEdgeProgram(t, cfg)
		do := func(method, path, body string) (int, string) {
			t.Helper()
			return askAdmin(t, p.admin, actToken, method, path, body)
		}
		if tokens == "" {
			for _, request := range []string{"PUT /admin/log-level", "POST /admin/drain", "GET /admin/config", "GET /admin/doctor", "GET /debug/pprof/heap"} {
				method, path, _ := strings.Cut(request, " ")
				if status, text := do(method, path, `{"level": "debug"}`); status != 403 || !strings.Contains(text, "PUSHGATE_ADMIN_TOKENS") {
					t.Errorf("%s: %d %s", request, status, text)
				}
			}
			p.end()
		} else {
			if status, text := do("GET", "/admin/config", ""); status != 200 || !strings.Contains(text, `"PUSHGATE_DRAIN","value":"0s"`) ||
				strings.Contains(text, key) || strings.Contains(text, password) || strings.Contains(text, actToken) {
				t.Errorf("settings: %d %s", status, text)
			}
			if status, text := do("GET", "/admin/doctor?lang=ru", ""); status != 200 || !strings.Contains(text, `"redis.answers"`) || strings.Contains(text, key) {
				t.Errorf("doctor: %d %s", status, text)
			}
			if status, _ := do("PUT", "/admin/log-level", `{"level": "debug"}`); status != 200 || !p.logger.Enabled(t.Context(), slog.LevelDebug) {
				t.Errorf("level: %d", status)
			}
			if status, text := do("POST", "/admin/drain", ""); status != 202 {
				t.Errorf("drain: %d %s", status, text)
			}
		}
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
		if left := strings.Contains(p.log.String(), "anna has asked for it"); left != (tokens != "") {
			t.Errorf("logged:\n%s", p.log)
		}
		if acts, _ := redis.List("pg:audit"); (len(acts) == 2) != (tokens != "") {
			t.Errorf("audit log: %v", acts)
		}
		p.end()
	}
}
