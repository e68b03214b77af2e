package ops

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

// client is one end of a connection, on which it makes one request after another.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func newClient(conn net.Conn) *client { return &client{conn, bufio.NewReader(conn)} }

func dialClient(t *testing.T, addr net.Addr) *client {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(conn)
}

const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"

// answer reads an answer, and returns whether it is the last one.
func (c *client) answer(t *testing.T) (last bool) {
	t.Helper()
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatalf("no answer at %v: %v", c.LocalAddr(), err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "accepted" {
		t.Fatalf("%q, %v", body, err)
	}
	return resp.Close
}

func (c *client) ask(t *testing.T) (last bool) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c.answer(t)
}

// accepting is a port that accepts every post.
func accepting() *HTTPPort {
	return NewPort(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(w, "accepted")
	}), NewRegistry(), slog.New(slog.DiscardHandler))
}

// TestRequestOnAKeptConnectionIsAnsweredWhileLeaving: a request that comes on a kept connection
// when the service has begun to leave is answered, and so is one on a new connection.
func TestRequestOnAKeptConnectionIsAnsweredWhileLeaving(t *testing.T) {
	port := accepting()
	addr, admin, cancel, served := launch(t, Service{Port: port, Leaving: Leaving{Retire: port.Retire, Timeout: time.Minute}})
	first, second, gone := dialClient(t, addr), dialClient(t, addr), dialClient(t, addr)
	for _, c := range []*client{first, second, gone} {
		if c.ask(t) {
			t.Fatal("connections are not kept")
		}
	}
	cancel()
	testkit.Eventually(t, "it leaves", func() bool { status, _ := get(t, admin, "/readyz"); return status == 503 })
	if !dialClient(t, addr).ask(t) {
		t.Error("a new connection is kept")
	}
	for _, c := range []*client{first, second} {
		select {
		case err := <-served:
			t.Fatal("it has left before a kept connection had its last answer", err)
		default:
		}
		if !c.ask(t) {
			t.Error("the answer is not the last one")
		}
	}
	gone.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestRetireIsBounded: a connection that no request comes on keeps the service for the time that it
// has, and no longer.
func TestRetireIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := accepting()
		ctx, cancel := context.WithCancel(t.Context())
		listener := pipeListener{make(chan net.Conn), cancel, ctx}
		go port.Serve(listener)
		near, far := net.Pipe()
		listener.conns <- far
		idle := newClient(near)
		idle.ask(t)
		began := time.Now()
		Service{Leaving: Leaving{Timeout: 3 * time.Second}}.bounded(t.Context(), port.Retire)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		near.Close()
		synctest.Wait()
		began = time.Now()
		port.Retire(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("without connections it took %v", took)
		}
		cancel()
	})
}

// lateListener accepts nothing before begin is closed.
type lateListener struct {
	net.Listener
	begin chan struct{}
}

func (l lateListener) Accept() (net.Conn, error) {
	<-l.begin
	return l.Listener.Accept()
}

// latePort accepts nothing before begin is closed.
type latePort struct {
	*HTTPPort
	begin chan struct{}
}

func (p latePort) Serve(l net.Listener) error { return p.HTTPPort.Serve(lateListener{l, p.begin}) }

// TestConnectionsInTheQueueAreServedWhenLeaving: clients that have connected, and sent a request,
// before the listener closes get an answer, although nobody has accepted them yet.
func TestConnectionsInTheQueueAreServedWhenLeaving(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "unix:" + t.TempDir() + "/socket"} {
		port := latePort{accepting(), make(chan struct{})}
		// Not later: how long a connection may wait in the queue is bounded.
		accept := func(context.Context) { go close(port.begin) }
		addr, _, cancel, served := launch(t, Service{Listen: listen, Port: port, Leaving: Leaving{Retire: accept}})
		var clients []*client
		for range 50 {
			c := dialClient(t, addr)
			io.WriteString(c, request)
			clients = append(clients, c)
		}
		cancel()
		for _, c := range clients {
			c.answer(t)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// TestRequestThatIsBeingReadIsAnsweredWhenLeaving: the listener is closed, and only half of the
// head has come.
func TestRequestThatIsBeingReadIsAnsweredWhenLeaving(t *testing.T) {
	port := accepting()
	addr, _, cancel, served := launch(t, Service{Port: port, Leaving: Leaving{Retire: port.Retire, Timeout: time.Minute}})
	c := dialClient(t, addr)
	io.WriteString(c, request[:20])
	cancel()
	testkit.Eventually(t, "it accepts nothing", func() bool {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	io.WriteString(c, request[20:])
	if !c.answer(t) {
		t.Error("the connection is kept")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestSilentConnectionDoesNotKeepAService: one that brings no request is closed after two seconds.
func TestSilentConnectionDoesNotKeepAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := accepting()
		ctx, cancel := context.WithCancel(t.Context())
		listener := pipeListener{make(chan net.Conn), cancel, ctx}
		var serving sync.WaitGroup
		serving.Go(func() { _ = port.Serve(listener) })
		near, far := net.Pipe()
		listener.conns <- far
		synctest.Wait()
		cancel()
		serving.Wait()
		began := time.Now()
		if err := port.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < silence || took > silence+time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
}
