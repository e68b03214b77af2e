package ops

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/testkit"
)

// TestAdminPortSharesNoCeiling: a service that closes connections of its own port, as a full edge
// does, does not see those of the admin port.
func TestAdminPortSharesNoCeiling(t *testing.T) {
	var told atomic.Int32
	port := &http.Server{ConnState: func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			told.Add(1)
			conn.Close()
		}
	}}
	addr, admin, leave := start(t, Service{Port: port})
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if status, _ := get(t, admin, path); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if n := told.Load(); n != 0 {
		t.Errorf("%d connections of the admin port were reported to it", n)
	}
	if _, err := http.Get("http://" + addr.String()); err == nil {
		t.Error("the service itself still answers")
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestBound: connections beyond the bound are closed, and one that a handler has taken over does
// not count.
func TestBound(t *testing.T) {
	taken := make(chan net.Conn, 1)
	port := NewPort(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/take" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			taken <- conn
		}
	}), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	Bound(port.Server, 1)
	addr, _, leave := start(t, Service{Port: port})
	dial := func(path string) (net.Conn, error) {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if path == "/take" {
			return conn, nil
		}
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		return conn, err
	}
	first, _ := dial("/take")
	defer first.Close()
	defer (<-taken).Close()
	second, err := dial("/")
	if err != nil {
		t.Errorf("a connection that was taken over counts: %v", err)
	}
	defer second.Close()
	third, err := dial("/")
	if err == nil {
		t.Error("there is no bound")
	}
	third.Close()
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestVerbose: what is known beside the readiness is shown to those who ask for it, ready or not.
func TestVerbose(t *testing.T) {
	ready := make(chan error, 1)
	_, admin, leave := start(t, Service{Ready: func() error { return <-ready }, Admin: Admin{Details: func() []string { return []string{"a: b", "c: d"} }}})
	for _, c := range []struct {
		path   string
		err    error
		status int
		want   string
	}{
		{"/readyz", nil, 200, "ok\n"}, {"/readyz?verbose", nil, 200, "ok\na: b\nc: d\n"}, {"/readyz?verbose=1", errors.New("full"), 503, "full\na: b\nc: d\n"},
	} {
		ready <- c.err
		if status, body := get(t, admin, c.path); status != c.status || body != c.want {
			t.Errorf("%s: %d %q", c.path, status, body)
		}
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestAnswerToWhoAskedForTheEnd: an answer of the admin port that is under way when everything else
// has ended arrives.
func TestAnswerToWhoAskedForTheEnd(t *testing.T) {
	leaves, address := make(chan func(), 1), make(chan string, 1)
	drain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		(<-leaves)()
		admin := <-address
		testkit.Eventually(t, "the admin port is closed", func() bool {
			conn, err := net.Dial("tcp", admin)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		io.WriteString(w, "left")
	})
	guard := admin.NewGuard(admin.Config{Routes: []admin.Route{{Pattern: "GET /leave", Handler: drain}}}, prometheus.NewRegistry())
	_, port, cancel, served := launch(t, Service{Admin: Admin{Guard: guard}})
	leaves <- cancel
	address <- port.String()
	if status, body := get(t, port, "/leave"); status != 200 || body != "left" {
		t.Errorf("%d %q", status, body)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
