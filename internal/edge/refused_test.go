package edge

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"weak"

	"pushgate/internal/edge/front"
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

// TestPausedRefusalFreesItsConnection: a client that hangs up during the pause leaves nothing in
// memory. The pause is up to 30 s, and nothing bounds how many clients come and go meanwhile.
func TestPausedRefusalFreesItsConnection(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		<-w.get(w.url("/sub/", "wrong")) // without a pause
		w.http.CloseIdleConnections()
		synctest.Wait()
		server, client := net.Pipe()
		w.edge.accept(server)
		io.WriteString(client, "GET /sub/?CHANNEL_ID=wrong HTTP/1.1\r\nHost: push.test\r\n\r\n")
		synctest.Wait()
		conn := weak.Make(w.edge.shared.Heartbeats.Members()[0].(*front.Conn))
		if w.edge.pacer.pausing != 1 {
			t.Errorf("%d pauses", w.edge.pacer.pausing)
		}
		client.Close()
		synctest.Wait()
		for range 3 { // the first ones may find it on a stack, or in a pool
			runtime.GC()
		}
		if conn.Value() != nil {
			t.Error("the connection is kept")
		}
	})
}
