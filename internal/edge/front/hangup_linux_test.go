package front

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/netpoll"
)

// onTCP runs a test with a server of handler on a real port, and demands that nothing is left of
// its connections.
func onTCP(t *testing.T, handler http.HandlerFunc, test func(dial func() *net.TCPConn)) {
	t.Helper()
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	heartbeats := netpoll.NewHeartbeats(5*time.Second, nil)
	conns := netpoll.New(running.Go)
	server := New(Config{Handler: handler, Conns: conns, Heartbeats: heartbeats})
	running.Go(func() { heartbeats.Run(ctx) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	test(func() *net.TCPConn {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = client.SetDeadline(time.Now().Add(20 * time.Second))
		server.Accept(conn)
		return client.(*net.TCPConn)
	})
	stop()
	for _, m := range heartbeats.Members() {
		m.Cut()
	}
	conns.Close()
	running.Wait()
	if n := server.pending.Load(); n != 0 || conns.Open() != 0 {
		t.Errorf("%d pending bytes and %d connections are left", n, conns.Open())
	}
}

// TestHangUpAfterBytesSentAhead: a client that has sent bytes ahead while its request was held, and
// hangs up, ends the request at once, whichever way it hangs up, and also if the held request is
// itself one that was sent ahead.
func TestHangUpAfterBytesSentAhead(t *testing.T) {
	for name, hangUp := range map[string]func(*net.TCPConn){
		"close":                   func(c *net.TCPConn) { c.Close() },
		"half close":              func(c *net.TCPConn) { c.CloseWrite() },
		"reset":                   func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"of a request sent ahead": nil,
	} {
		t.Run(name, func(t *testing.T) {
			handler, holders := holding()
			onTCP(t, handler, func(dial func() *net.TCPConn) {
				client := dial()
				io.WriteString(client, request("/a"))
				h := <-holders
				io.WriteString(client, request("/b")+"G")
				stopped(t, h.conn)
				if hangUp == nil { // while the second request is held, with a byte of the third
					if err := h.answer("one"); err != nil {
						t.Fatal(err)
					}
					h, hangUp = <-holders, func(c *net.TCPConn) { c.Close() }
				}
				select {
				case <-h.gone:
					t.Fatal("gone before the client hung up")
				default:
				}
				hangUp(client)
				select {
				case <-h.gone:
				case <-time.After(20 * time.Second):
					t.Error("the hanging up is not noticed")
					h.conn.Cut()
					_ = h.answer("late")
				}
			})
		})
	}
}

// TestLastAnswerIsReadAfterBytesSentAhead: a client that has sent more than was read reads the
// answer, and then the end of the connection, rather than a reset.
func TestLastAnswerIsReadAfterBytesSentAhead(t *testing.T) {
	holding, holders := holding()
	closing := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		echo(w, r)
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		request string
	}{
		{"closed by the client", echo, request("/a", "Connection: close\r\n")},
		{"closed by the handler", closing, request("/a")},
		{"held", holding, request("/a", "Connection: close\r\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			onTCP(t, c.handler, func(dial func() *net.TCPConn) {
				client := dial()
				io.WriteString(client, c.request+strings.Repeat("x", 60_000))
				if c.name == "held" {
					h := <-holders
					stopped(t, h.conn)
					if err := h.answer("/a"); err != nil {
						t.Fatal(err)
					}
				}
				answer, err := io.ReadAll(client)
				if err != nil || !strings.HasSuffix(string(answer), "\r\n\r\n/a") {
					t.Errorf("%q, %v", answer, err)
				}
			})
		})
	}
}

// stopped waits until nothing is read from c because of what its client has sent ahead.
func stopped(t *testing.T, c *Conn) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		stopped := c.stopped
		c.mu.Unlock()
		if stopped {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("never: the bytes are there")
		}
	}
}
