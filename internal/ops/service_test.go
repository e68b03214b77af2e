package ops

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

// start serves s until leave is called, which returns what Serve returned.
func start(t *testing.T, s Service) (addr, admin net.Addr, leave func() error) {
	addr, admin, cancel, result := launch(t, s)
	return addr, admin, func() error { cancel(); return <-result }
}

func launch(t *testing.T, s Service) (addr, admin net.Addr, cancel func(), served <-chan error) {
	t.Helper()
	type addrs struct{ addr, admin net.Addr }
	started, result := make(chan addrs, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	s.Name = "test"
	if s.Listen == "" {
		s.Listen = "127.0.0.1:0"
	}
	s.Admin.Listen, s.Admin.Registry = "127.0.0.1:0", NewRegistry()
	s.Logger = slog.New(slog.DiscardHandler)
	if s.Port == nil {
		s.Port = NewPort(http.NotFoundHandler(), s.Admin.Registry, s.Logger)
	}
	s.Started = func(addr, admin net.Addr) { started <- addrs{addr, admin} }
	go func() { result <- s.Serve(ctx) }()
	select {
	case a := <-started:
		return a.addr, a.admin, cancel, result
	case err := <-result:
		t.Fatal(err)
		return nil, nil, nil, nil
	}
}

func get(t *testing.T, addr net.Addr, path string) (status int, body string) {
	t.Helper()
	answer := testkit.Get(t, "http://"+addr.String()+path)
	return answer.Status, answer.Body
}

func TestAdmin(t *testing.T) {
	ready := make(chan error, 1)
	_, admin, leave := start(t, Service{Ready: func() error { return <-ready }})
	if status, body := get(t, admin, "/livez"); status != 200 || body != "ok\n" {
		t.Error(status, body)
	}
	ready <- errors.New("not subscribed")
	if status, body := get(t, admin, "/readyz"); status != 503 || body != "not subscribed\n" {
		t.Error(status, body)
	}
	ready <- nil
	if status, body := get(t, admin, "/readyz"); status != 200 || body != "ok\n" {
		t.Error(status, body)
	}
	status, body := get(t, admin, "/metrics")
	for _, metric := range []string{"go_goroutines", "process_open_fds", "pushgate_build_info"} {
		if status != 200 || !strings.Contains(body, "\n"+metric) {
			t.Error(status, "no", metric)
		}
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestLeavesInOrder checks what is open and what is closed at each step of leaving.
func TestLeavesInOrder(t *testing.T) {
	var addr, admin net.Addr
	begun, finish := make(chan struct{}), make(chan struct{})
	steps := make(chan string, 2)
	answered := make(chan *http.Response)
	port := NewPort(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "done")
	}), NewRegistry(), slog.New(slog.DiscardHandler))
	s := Service{Port: port, Leaving: Leaving{Timeout: time.Minute}}
	s.Run = func(ctx context.Context) error {
		<-ctx.Done()
		steps <- "run"
		if status, body := get(t, admin, "/readyz"); status != 503 || body != "draining\n" {
			t.Error("while Run ends, ready is", status, body)
		}
		return ctx.Err()
	}
	s.Leaving.Drain = func(ctx context.Context) {
		if status, body := get(t, admin, "/readyz"); status != 503 || body != "draining\n" {
			t.Error("while draining, ready is", status, body)
		}
		if conn, err := net.Dial("tcp", addr.String()); err == nil {
			conn.Close()
			t.Error("accepts while draining")
		}
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) < 50*time.Second || ctx.Err() != nil {
			t.Error("drains without the time that it was given")
		}
		close(finish)
		resp := <-answered
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil {
			t.Errorf("the request under way got %q %v", body, err)
		}
		steps <- "drain"
	}
	addr, admin, leave := start(t, s)
	go func() {
		resp, err := http.Get("http://" + addr.String())
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	<-begun
	if err := leave(); err != nil {
		t.Error(err)
	}
	if first, second := <-steps, <-steps; first != "drain" || second != "run" {
		t.Error(first, "before", second)
	}
	if _, err := net.Dial("tcp", admin.String()); err == nil {
		t.Error("the admin port outlives the service")
	}
}

func TestRunEndsService(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct{ give, want error }{{broken, broken}, {nil, errEarly}} {
		give := make(chan error)
		drained := false
		_, _, _, result := launch(t, Service{
			Run:     func(context.Context) error { return <-give },
			Leaving: Leaving{Drain: func(context.Context) { drained = true }},
		})
		give <- c.give
		if err := <-result; !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
		if !drained {
			t.Error("left without draining")
		}
	}
}

func TestListenFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := Service{Name: "test", Logger: slog.New(slog.DiscardHandler), Admin: Admin{Registry: NewRegistry()}, Port: new(http.Server)}
	for _, c := range []struct{ listen, admin string }{
		{taken.Addr().String(), ""},
		{"127.0.0.1:0", taken.Addr().String()},
	} {
		s.Listen, s.Admin.Listen = c.listen, c.admin
		if err := s.Serve(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestConnectionsAreNotProbed: TCP does not probe the peer of a connection at rest.
func TestConnectionsAreNotProbed(t *testing.T) {
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if probed, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); probed != 0 || err != nil {
			t.Errorf("keep-alive is %d, %v", probed, err)
		}
	})
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Error(info, err)
	}
	if _, err := Listen("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error("took the socket of a running process:", err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	listener.Close()
	listener, err = Listen("unix:" + path)
	if err != nil {
		t.Fatal("the socket file of a dead process was not replaced:", err)
	}
	listener.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the socket file stays behind")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("removed a file that is not a socket")
	}
}

// pipeListener is a listener that works in a synctest bubble.
type pipeListener struct {
	conns chan net.Conn
	done  context.CancelFunc
	ctx   context.Context
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error { l.done(); return nil }

func (pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

func TestBounds(t *testing.T) {
	t.Run("default", func(t *testing.T) { testBounds(t, 0, 5*time.Second) })
	t.Run("chosen", func(t *testing.T) { testBounds(t, time.Second, time.Second) })
}

func testBounds(t *testing.T, chosen, grace time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.DiscardHandler)
		server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), logger)
		s := Service{Name: "test", Port: server, Leaving: Leaving{Grace: chosen}, Logger: logger}
		ctx, cancel := context.WithCancel(t.Context())
		listener := pipeListener{make(chan net.Conn), cancel, ctx}
		go server.Serve(listener)

		idle, theirs := net.Pipe()
		listener.conns <- theirs
		begin := time.Now()
		if _, err := idle.Read(make([]byte, 1)); err == nil || time.Since(begin) != readHeaderTimeout {
			t.Errorf("a silent client: %v after %v", err, time.Since(begin))
		}

		stuck, theirs := net.Pipe()
		listener.conns <- theirs
		stuck.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		synctest.Wait()
		begin = time.Now()
		s.shutdown(t.Context())
		if time.Since(begin) != grace {
			t.Errorf("a stuck request kept the service for %v", time.Since(begin))
		}
		if _, err := stuck.Read(make([]byte, 1)); err == nil {
			t.Error("the stuck request was answered")
		}

		begin = time.Now()
		if err := s.await(make(chan struct{})); err == nil || time.Since(begin) != grace {
			t.Errorf("a stuck Run kept the service for %v: %v", time.Since(begin), err)
		}
	})
}

func TestOptionsStarIsNotAnswered(t *testing.T) {
	addr, _, leave := start(t, Service{})
	defer leave()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Error(resp.Status)
	}
}

func TestLogger(t *testing.T) {
	for format, want := range map[string]string{"json": `"msg":"seen","n":1}`, "text": `msg=seen n=1`} {
		var b bytes.Buffer
		logger := NewLogger(&b, format, slog.LevelWarn)
		logger.Info("unseen")
		logger.Warn("seen", "n", 1)
		if !strings.HasSuffix(strings.TrimSpace(b.String()), want) || strings.Count(b.String(), "\n") != 1 {
			t.Errorf("%s: %s", format, &b)
		}
	}
}

func TestPanicsAreSeen(t *testing.T) {
	var b bytes.Buffer
	server := newServer(nil, NewLogger(&b, "text", slog.LevelInfo))
	server.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
	server.ErrorLog.Print("http: panic serving 192.0.2.1:1: broken")
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "broken") {
		t.Error(got)
	}
}
