package edge

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/testkit"
)

// rawRequest writes a request to a connection, and reads nothing.
func (w *world) rawRequest(url string) net.Conn {
	w.t.Helper()
	conn, err := w.listener.dial(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: push.test\r\n\r\n", strings.TrimPrefix(url, "http://push.test"))
	synctest.Wait()
	return conn
}

// Clients stop taking what they are sent, each in a different way. Each is ended with the right
// reason and in time, and delays no other client.
func TestClientsThatDoNotTakeWhatTheyAreGiven(t *testing.T) {
	for _, c := range []struct {
		name    string
		connect func(w *world)
		reason  string
		within  time.Duration
	}{
		{"a WebSocket stops reading", func(w *world) { w.rawWebSocket(w.url("/subws/", signed(alice))) },
			"write_timeout", writeTimeout + 2*maxInterval},
		{"a WebSocket reads a byte a second", func(w *world) {
			conn, _ := w.rawWebSocket(w.url("/subws/", signed(alice)))
			go func() {
				for {
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
		}, "write_timeout", writeTimeout + 2*maxInterval},
		{"a stream stops reading", func(w *world) { w.rawRequest(w.url("/sse/", signed(alice))) }, "write_timeout", writeTimeout + 2*maxInterval},
		{"a poll does not read its answer", func(w *world) { w.rawRequest(w.url("/sub/", signed(alice))) }, "connection_lost", answerTimeout + 2*maxInterval},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				c.connect(w)
				fast := w.dial(w.url("/subws/", signed(alice)))
				for range 300 {
					start := time.Now()
					m := w.publish(`{"text":"`+strings.Repeat("x", 100)+`"}`, alice)
					if got, err := w.read(fast); got != text(m, alice) || time.Since(start) != 0 {
						t.Fatalf("another reader got %q, %v after %v", got, err, time.Since(start))
					}
				}
				time.Sleep(c.within)
				synctest.Wait()
				if n := w.value("session_ends_total", c.reason); n != 1 {
					t.Errorf("%v ended as %s", n, c.reason)
				}
				if n := w.edge.hubStats.Overflows.Load(); c.reason == "write_timeout" && n == 0 {
					t.Error("no inbox was full: nothing bounds what waits")
				}
				fast.CloseNow()
				synctest.Wait()
				if n := w.edge.channels(); n != 0 {
					t.Errorf("%d channels still have a session", n)
				}
			})
		})
	}
}

// A client that has vanished is noticed because it does not answer, by every transport that lasts.
func TestClientsThatVanish(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.rawWebSocket(w.url("/subws/", signed(alice)))
		w.rawRequest(w.url("/sse/", signed(alice)))
		w.rawRequest(w.url("/sub/", signed(alice)))
		time.Sleep(3*25*time.Second + writeTimeout + answerTimeout + 2*maxInterval)
		synctest.Wait()
		for _, transport := range []string{"websocket", "sse", "longpoll"} {
			if n := w.value("connections", transport); n != 0 {
				t.Errorf("%v %s connections are left", n, transport)
			}
		}
		if n := w.edge.shared.Conns.Open(); n != 0 {
			t.Errorf("%d connections are held", n)
		}
	})
}

// A client that floods is read more slowly, and nothing else happens to it: it keeps its connection
// and gets its messages, and so do others.
func TestClientThatFloods(t *testing.T) {
	for name, opcode := range map[string]byte{"data": 1, "pings": 9} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				conn, reader := w.rawWebSocket(w.url("/subws/", signed(alice)))
				go io.Copy(io.Discard, reader)
				flooded := 0
				go func() {
					for {
						if _, err := conn.Write(masked(opcode, "x")); err != nil {
							return
						}
						flooded++
					}
				}()
				start := time.Now()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				most := int((time.Since(start) + frameBurst) / frameInterval)
				if flooded > most+2 || flooded < most-2 {
					t.Errorf("%d frames were read in %v, want %d", flooded, time.Since(start), most)
				}
				if n := w.value("received_frames_paused_total", ""); n == 0 {
					t.Error("no pause counted")
				}
				fast := w.dial(w.url("/subws/", signed(alice)))
				m := w.publish(`{}`, alice)
				if got, err := w.read(fast); err != nil || got != text(m, alice) {
					t.Errorf("another reader got %q, %v", got, err)
				}
				if n := w.value("delivered_total", "websocket"); n != 2 {
					t.Errorf("%v delivered, want one to each", n)
				}
			})
		})
	}
}

// What a socket takes only in part arrives complete and in order once its client reads. No other
// client waits meanwhile.
func TestSlowWebSocketOnSockets(t *testing.T) {
	onSockets(t, nil, func(t *testing.T, w *socketWorld) {
		const messages = 1500 // together more than the socket holds
		slow, fast := w.dial(alice), w.dial(alice)
		defer slow.CloseNow()
		defer fast.CloseNow()
		testkit.Eventually(t, "both are there", func() bool { return w.edge.webSockets() == 2 })
		var want strings.Builder
		read := func(conn *websocket.Conn) string {
			_, frame, err := conn.Read(w.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return string(frame)
		}
		for range messages {
			m := text(w.publish(`{"text":"`+strings.Repeat("x", 10_000)+`"}`, alice), alice)
			want.WriteString(m)
			if got := read(fast); got != m {
				t.Fatalf("another reader got %.100s", got)
			}
		}
		var got strings.Builder
		for got.Len() < want.Len() {
			got.WriteString(read(slow))
		}
		if got.String() != want.String() {
			t.Error("the slow reader got something else")
		}
		if w.edge.hubStats.Overflows.Load() == 0 {
			t.Error("its socket took everything")
		}
	})
}
