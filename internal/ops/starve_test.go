package ops

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestStrangersStarvedTheAdminPort: 64 clients that held a connection each, by whatever means, kept
// Prometheus and probes out, those with half a body for ever. Now one more client is served, and
// the oldest connection is closed and counted.
func TestStrangersStarvedTheAdminPort(t *testing.T) {
	const body = "Host: a\r\nContent-Length: 100\r\n\r\n"
	for name, c := range map[string]struct {
		text     string
		answered bool
	}{
		"nothing sent":      {"", false},
		"half a head":       {"GET /livez HTTP/1.1\r\nHost: a\r\n", false},
		"half a body":       {"POST /livez HTTP/1.1\r\n" + body + "x", false},
		"a GET with a body": {"GET /livez HTTP/1.1\r\n" + body, false},
		"at rest":           {"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, admin, leave := start(t, Service{})
			var conns []net.Conn
			for range maxAdminConnections {
				conn, err := net.Dial("tcp", admin.String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conns = append(conns, conn)
				io.WriteString(conn, c.text)
				if c.answered {
					if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			if status, _ := get(t, admin, "/livez"); status != 200 {
				t.Errorf("one more: %d", status)
			}
			_, text := get(t, admin, "/metrics")
			if !strings.Contains(text, "\npushgate_admin_connections_closed_total ") || strings.Contains(text, "\npushgate_admin_connections_closed_total 0\n") {
				t.Error("the closed one is not counted")
			}
			for _, conn := range conns {
				conn.Close()
			}
			http.DefaultClient.CloseIdleConnections()
			if err := leave(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAdminPortClosesTheOldest: only the connection that has been silent for the longest is closed,
// and a bound that was met once is met again.
func TestAdminPortClosesTheOldest(t *testing.T) {
	closed := newAdminClosed()
	n := &http.Server{}
	keepNewest(n, 2, closed)
	pipe := func() (net.Conn, func() bool) {
		server, client := net.Pipe()
		t.Cleanup(func() { client.Close() })
		return server, func() bool {
			client.SetReadDeadline(time.Now().Add(-time.Second))
			_, err := client.Read(make([]byte, 1))
			return err == io.EOF
		}
	}
	a, aClosed := pipe()
	b, bClosed := pipe()
	c, cClosed := pipe()
	n.ConnState(a, http.StateNew)
	n.ConnState(b, http.StateNew)
	n.ConnState(a, http.StateActive)
	n.ConnState(c, http.StateNew)
	if aClosed() || !bClosed() || cClosed() {
		t.Error("not the oldest was closed")
	}
	n.ConnState(b, http.StateActive) // it was on its way
	n.ConnState(b, http.StateClosed)
	n.ConnState(a, http.StateClosed)
	d, dClosed := pipe()
	n.ConnState(d, http.StateNew)
	if cClosed() || dClosed() {
		t.Error("two connections are too many")
	}
	e, _ := pipe()
	n.ConnState(d, http.StateHijacked)
	n.ConnState(e, http.StateNew)
	if cClosed() || dClosed() {
		t.Error("a hijacked connection counts")
	}
}

// TestSilentRequestsHeldTheAdminPort: a request whose body does not come, and one whose answer is
// not taken, held a goroutine and a descriptor for ever. An act that takes its time is still
// served.
func TestSilentRequestsHeldTheAdminPort(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			select {
			case <-time.After(adminAnswer - time.Second):
			case <-r.Context().Done():
				return
			}
		}
		io.WriteString(w, strings.Repeat("x", 1<<20))
	})
	for name, c := range map[string]struct {
		text  string
		takes bool
		bytes int64 // at least
		took  time.Duration
	}{
		"half a body":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", true, 0, adminBody},
		"an answer not read": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, 0, adminAnswer},
		"a slow answer":      {"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true, 1 << 20, adminAnswer - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				s := newAdminServer(slow, slog.New(slog.DiscardHandler), prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}))
				ended := make(chan struct{})
				note := s.ConnState
				s.ConnState = func(conn net.Conn, state http.ConnState) {
					if note(conn, state); state == http.StateClosed {
						close(ended)
					}
				}
				listener := &oneConn{conn: server, gone: make(chan struct{})}
				var serving sync.WaitGroup
				serving.Go(func() { s.Serve(listener) })
				start := time.Now()
				io.WriteString(client, c.text)
				if c.takes {
					serving.Go(func() {
						if n, _ := io.Copy(io.Discard, client); n < c.bytes {
							t.Errorf("%d bytes", n)
						}
					})
				}
				select {
				case <-ended:
				case <-time.After(time.Hour):
					t.Error("held for an hour")
				}
				if took := time.Since(start).Round(time.Second); took != c.took {
					t.Errorf("closed after %v, want %v", took, c.took)
				}
				client.Close()
				s.Close()
				serving.Wait()
			})
		})
	}
}
