package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/netpoll"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world is a server on pipes, in a bubble.
type world struct {
	t          *testing.T
	server     *Server
	heartbeats *netpoll.Heartbeats
	refused    map[int]int
	panics     int
}

// inWorld runs a test with a server of handler in a bubble, and checks that nothing is left of its
// connections.
func inWorld(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		w := &world{t: t, heartbeats: netpoll.NewHeartbeats(5*time.Second, nil), refused: make(map[int]int)}
		ctx, stop := context.WithCancel(t.Context())
		conns := netpoll.New(running.Go)
		w.server = New(Config{Handler: handler, Conns: conns, Heartbeats: w.heartbeats,
			Refused: func(status int) { w.refused[status]++ }, Panics: func(string, any, []byte) { w.panics++ },
			MaxPending: 100_000})
		running.Go(func() { w.heartbeats.Run(ctx) })
		test(t, w)
		stop()
		w.heartbeats.Close()
		conns.Close()
		running.Wait()
		if n := len(w.heartbeats.Members()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if n := w.server.pending.Load(); n != 0 {
			t.Errorf("%d pending bytes are left", n)
		}
	})
}

// client is one end of a connection. What it writes is written by a goroutine, because a pipe waits
// for its reader.
type client struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func (w *world) dial() client {
	server, conn := net.Pipe()
	w.server.Accept(server)
	w.t.Cleanup(func() { conn.Close() })
	return client{conn, bufio.NewReader(conn), w.t}
}

func (c client) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func (c client) send(pieces ...string) {
	go func() {
		for _, piece := range pieces {
			io.WriteString(c.Conn, piece)
		}
	}()
	synctest.Wait()
}

// answer reads one answer.
func (c client) answer() (status int, body string, closes bool) {
	c.t.Helper()
	r, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.StatusCode, string(b), r.Close
}

// ended returns how long the server took to close the connection.
func (c client) ended() time.Duration {
	c.t.Helper()
	start := time.Now()
	if n, err := io.Copy(io.Discard, c.Reader); n != 0 || err != nil {
		c.t.Errorf("%d bytes, %v before the end", n, err)
	}
	return time.Since(start)
}

func request(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: push.test\r\n" + strings.Join(more, "") + "\r\n"
}

// echo answers with the path.
func echo(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }

func TestRequestsOneAfterAnother(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name   string
			pieces []string
			want   []string
			closes bool
		}{
			{"whole", []string{request("/a")}, []string{"/a"}, false},
			{"kept", []string{request("/a"), request("/b")}, []string{"/a", "/b"}, false},
			{"in pieces", []string{"GET /a HT", "TP/1.1\r\nHost: push.test\r", "\n\r\n"}, []string{"/a"}, false},
			{"byte by byte", strings.Split(request("/a")+request("/b"), ""), []string{"/a", "/b"}, false},
			{"ahead", []string{request("/a") + request("/b") + request("/c")}, []string{"/a", "/b", "/c"}, false},
			{"one and a half", []string{request("/a") + "GET /b HTTP/1.1\r\n", "Host: push.test\r\n\r\n"}, []string{"/a", "/b"}, false},
			{"bare line feeds", []string{"GET /a HTTP/1.1\nHost: push.test\n\n"}, []string{"/a"}, false},
			{"not kept", []string{request("/a", "Connection: close\r\n")}, []string{"/a"}, true},
			{"HTTP/1.0", []string{"GET /a HTTP/1.0\r\n\r\n"}, []string{"/a"}, true},
		} {
			conn := w.dial()
			conn.send(c.pieces...)
			for i, want := range c.want {
				status, body, closes := conn.answer()
				if last := i == len(c.want)-1; status != 200 || body != want || closes != (last && c.closes) {
					t.Errorf("%s: %d %q, closes %t; want %q", c.name, status, body, closes, want)
				}
			}
			if c.closes {
				conn.ended()
			}
			conn.Close()
		}
	})
}

func TestRefusedHeads(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		for text, want := range map[string]int{
			"hello\r\n\r\n":                                                         400,
			"GET /a HTTP/1.2\r\nHost: a\r\n\r\n":                                    505,
			"GET /a HTTP/2.0\r\nHost: a\r\n\r\n":                                    505,
			"PRI * HTTP/2.0\r\n\r\n":                                                505,
			"GET /a HTTP/1.1\r\n\r\n":                                               400,
			"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n":                                  400,
			"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                         400,
			"GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n":                            400,
			"GET /a HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n":                          400,
			"GET /a HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n":                         400,
			"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx":              400,
			"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n": 400,
			"GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n":            417,
			"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12345":         404,
		} {
			conn := w.dial()
			before := w.refused[want]
			conn.send(text)
			if status, _, closes := conn.answer(); status != want || !closes {
				t.Errorf("%q: %d, closes %t; want %d", text, status, closes, want)
			}
			conn.send("more of a body") // would have the kernel reset a connection that is closed
			if took := conn.ended(); took > lingerTimeout+w.heartbeats.Interval() {
				t.Errorf("%q: lingers for %v", text, took)
			}
			if w.refused[want] != before+1 {
				t.Errorf("%q: counted %d times", text, w.refused[want]-before)
			}
		}
	})
}

func TestHeadTooLong(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send("GET /a HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("x", MaxHead-1000), "\r\n\r\n")
		if status, _, _ := conn.answer(); status != 200 {
			t.Errorf("a long head: %d", status)
		}
		conn.Close()
		conn = w.dial()
		conn.send("GET /a HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("x", MaxHead))
		if status, _, _ := conn.answer(); status != 431 {
			t.Errorf("a longer one: %d", status)
		}
		conn = w.dial()
		conn.send("GET /a HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("x", MaxHead-1000), strings.Repeat("x", 1000)+"\r\n\r\n")
		if status, _, _ := conn.answer(); status != 431 {
			t.Errorf("one whose end comes with what is too much: %d", status)
		}
	})
}

// Unfinished heads hold memory for as long as their clients like, so there is a bound for all of
// them together. A head that comes whole is served even beyond it.
func TestHeadsInPartsHaveABound(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		part := "GET /a HTTP/1.1\r\nX: " + strings.Repeat("x", 40_000)
		first, second, third := w.dial(), w.dial(), w.dial()
		first.send(part)
		second.send(part)
		third.send(part)
		if status, _, _ := third.answer(); status != 503 {
			t.Errorf("beyond the bound: %d", status)
		}
		whole := w.dial()
		whole.send(request("/a"))
		if status, _, _ := whole.answer(); status != 200 {
			t.Errorf("a whole head: %d", status)
		}
		first.send("\r\nHost: a\r\n\r\n")
		if status, _, _ := first.answer(); status != 200 {
			t.Errorf("one that has come before: %d", status)
		}
	})
}

func TestTimes(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		within := func(what string, took, least, most time.Duration) {
			t.Helper()
			if took < least || took > most {
				t.Errorf("%s: closed after %v, not between %v and %v", what, took, least, most)
			}
		}
		step := w.heartbeats.Interval()
		within("a silent one", w.dial().ended(), HeadTimeout-step, HeadTimeout)
		part := w.dial()
		time.Sleep(3 * time.Second)
		part.send("GET /a")
		within("half of a first head", part.ended()+3*time.Second, HeadTimeout-step, HeadTimeout)
		kept := w.dial()
		kept.send(request("/a"))
		kept.answer()
		within("a kept one", kept.ended(), KeepTimeout, KeepTimeout+step)
		later := w.dial()
		later.send(request("/a"))
		later.answer()
		time.Sleep(30 * time.Second)
		later.send("GET /")
		within("half of a later head", later.ended(), HeadTimeout-step, HeadTimeout)
	})
}

// A kept connection on which a byte comes now and then is closed all the same.
func TestByteByByte(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		conn := w.dial()
		start := time.Now()
		var sending sync.WaitGroup
		defer sending.Wait()
		sending.Go(func() {
			for {
				if _, err := io.WriteString(conn.Conn, "G"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		io.Copy(io.Discard, conn.Reader)
		if took := time.Since(start); took > HeadTimeout {
			t.Errorf("lived for %v", took)
		}
	})
}

func TestPanicEndsOneConnection(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("of the test")
		case "/hijacked":
			w.(http.Hijacker).Hijack()
			panic("of the test")
		case "/held":
			Hold(w, &holder{gone: make(chan struct{}, 1)})
			panic("of the test")
		}
		echo(w, r)
	}
	inWorld(t, handler, func(t *testing.T, w *world) {
		other := w.dial()
		other.send(request("/a"))
		other.answer()
		for i, path := range []string{"/panic", "/hijacked", "/held"} {
			conn := w.dial()
			conn.send(request(path))
			if i == 0 { // else the answer is not the server's
				if status, _, closes := conn.answer(); status != http.StatusInternalServerError || !closes {
					t.Errorf("%s: %d, closes %t", path, status, closes)
				}
			}
			conn.ended()
			if w.panics != i+1 {
				t.Errorf("%s: %d panics counted", path, w.panics)
			}
		}
		other.send(request("/b"))
		if status, body, _ := other.answer(); status != 200 || body != "/b" {
			t.Errorf("another connection: %d %q", status, body)
		}
	})
}

func TestLeave(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		kept := w.dial()
		kept.send(request("/a"))
		kept.answer()
		silent, late := w.dial(), w.dial()
		w.server.Leave()
		for _, m := range w.heartbeats.Members() {
			m.Leave()
		}
		if took := kept.ended(); took != 0 {
			t.Errorf("a kept connection is closed after %v", took)
		}
		time.Sleep(leaveGrace / 2)
		late.send(request("/b"))
		if status, body, closes := late.answer(); status != 200 || body != "/b" || !closes {
			t.Errorf("a request on its way: %d %q, closes %t", status, body, closes)
		}
		if took := silent.ended(); took != leaveGrace/2 {
			t.Errorf("a silent connection is closed after %v more", took)
		}
	})
}

func TestAdmit(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world) {
		w.server.config.Admit = func() bool { return false }
		w.dial().ended()
	})
}

// A middleware that wraps the ResponseWriter does not prevent Hold and Hijack.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestHijack(t *testing.T) {
	var hijacked net.Conn
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Upgrade", "test")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(wrapped{w}).Hijack()
		if err != nil {
			panic(err)
		}
		hijacked = conn
		ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
		go fmt.Fprintf(conn, "ahead %q", ahead)
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			panic("hijacked twice")
		}
	}
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a") + "early")
		r, err := http.ReadResponse(conn.Reader, nil)
		if err != nil || r.StatusCode != 101 || r.Header.Get("Upgrade") != "test" {
			t.Fatalf("%+v, %v", r, err)
		}
		b := make([]byte, 13)
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != `ahead "early"` {
			t.Errorf("%q, %v", b, err)
		}
		if len(w.heartbeats.Members()) != 0 {
			t.Error("it still has a member")
		}
		hijacked.Close()
		conn.ended()
	})
}
