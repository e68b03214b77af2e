package history_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/history"
)

// TestRoomForAllTogether: whoever asks for ever new processes, which needs no token, keeps nobody
// from the history of all together.
func TestRoomForAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := history.Handler(newMemory(), slog.New(slog.DiscardHandler))
		get := func(query string) int {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/admin/history"+query, nil))
			return w.Code
		}
		for i := range 100 {
			get(fmt.Sprint("?process=", i))
		}
		for _, query := range []string{"", "?span=hour", "?span=day"} {
			if status := get(query); status != 200 {
				t.Errorf("%q: %d", query, status)
			}
		}
		time.Sleep(10 * time.Second) // the answers are forgotten
	})
}
