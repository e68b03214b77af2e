//go:build faultinject

package edge

import (
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Panics are injected into some connections. These end, and all others go on. Run with
// FAULT_ONE_IN=5.
func TestInjectedPanics(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		var all []*websocket.Conn
		for range 100 {
			all = append(all, w.dial(w.url("/bitrix/subws/", signed(alice))))
		}
		m := w.publish(`{}`, alice)
		time.Sleep(2 * w.edge.shared.Heartbeats.Interval())
		ended := 0
		for _, conn := range all {
			if got, err := w.read(conn); err != nil {
				ended++
			} else if got != text(m, alice) {
				t.Errorf("got %q", got)
			}
			conn.CloseNow()
		}
		if ended == 0 || ended == len(all) {
			t.Errorf("%d of %d connections ended", ended, len(all))
		}
		w.wantNobody()
	})
}
