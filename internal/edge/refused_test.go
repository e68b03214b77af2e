package edge

import (
	"net"
	"testing"
	"testing/synctest"
)

// A server may begin to leave at the moment when a paused refusal is held. The race detector finds
// the fault.
func TestLeaveWhileARefusalIsBeingHeld(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 2 {
			<-w.get(w.url("/sub/", "wrong")) // the first refusal has no pause
		}
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, m := range w.edge.shared.Heartbeats.Members() {
					m.Leave()
				}
			}
		}()
		for range 500 {
			server, client := net.Pipe()
			w.edge.accept(server)
			_, _ = client.Write([]byte("GET /sub/?CHANNEL_ID=wrong HTTP/1.1\r\nHost: push.test\r\n\r\n"))
			var b [1024]byte
			if n, err := client.Read(b[:]); err != nil || string(b[9:12]) != "400" {
				t.Fatalf("%q, %v", b[:n], err)
			}
			client.Close()
		}
		close(stop)
		<-ended
		synctest.Wait()
		if w.edge.pacer.pausing != 0 {
			t.Errorf("%d pauses are left", w.edge.pacer.pausing)
		}
	})
}
