package store_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/store"
)

// TestClientLogIsStructured: what go-redis has to say is lines of our log, of which only some are
// warnings when it says much.
func TestClientLogIsStructured(t *testing.T) {
	var lines bytes.Buffer
	defer logging.Disable() // as TestMain
	store.LogTo(slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})))
	pipe := open(t, "redis://127.0.0.1:1").Pipeline()
	for range 3 {
		pipe.Expire(t.Context(), "key", time.Millisecond) // which it says it cannot do
	}
	warnings := 0
	for line := range strings.Lines(lines.String()) {
		var fields struct{ Level, Msg, Text string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields.Msg != "redis client" || fields.Text == "" {
			t.Errorf("%q: %v", line, err)
		}
		if fields.Level == "WARN" {
			warnings++
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 3 || warnings != 1 {
		t.Errorf("%d lines, %d of them warnings, want 3 and 1:\n%s", n, warnings, &lines)
	}
}
