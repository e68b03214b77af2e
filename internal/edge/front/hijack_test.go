package front

import (
	"net/http"
	"testing"
	"time"
)

// TestCutOfAHijackThatNobodyReads: a server that ends does not wait for a client that does not read
// the answer of a handshake, whether the cut comes before or after the beginning of the write.
func TestCutOfAHijackThatNobodyReads(t *testing.T) {
	for _, work := range []time.Duration{0, 2 * time.Second} { // before the handshake
		var ended chan time.Duration
		handler := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(work)
			start := time.Now()
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			ended <- time.Since(start)
		}
		inWorld(t, handler, func(t *testing.T, w *world) {
			ended = make(chan time.Duration, 1) // of the bubble
			conn := w.dial()
			all := w.heartbeats.Members()
			time.AfterFunc(time.Second, func() {
				for _, m := range all {
					m.Cut()
				}
			})
			conn.send(request("/a"))
			if took := <-ended; took != max(time.Second-work, 0) {
				t.Errorf("after %v, the handshake took %v, and the cut came after 1s", work, took)
			}
			conn.Close()
		})
	}
}
