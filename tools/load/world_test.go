//go:build linux

package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/edge"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/testkit/world"
	"pushgate/tools/load/loop"
)

// startPushgate runs an edge and a publisher over a log in memory until the test ends, and returns
// the options for a run with them.
func startPushgate(t *testing.T) Options {
	t.Helper()
	const key = "a key of the tests"
	signer, err := NewSigner("sha1", key)
	if err != nil {
		t.Fatal(err)
	}
	log := storetest.NewMemory(store.Config{})
	w := world.Start(t, key, log, log, edge.Config{PollTimeout: time.Second, PingInterval: 200 * time.Millisecond, Drain: time.Millisecond})
	return Options{Sub: []string{w.Edge.URL}, Pub: []string{w.Publisher.URL}, Signer: signer, Settle: 10 * time.Millisecond, Patience: 5 * time.Second}
}

// fake is a faulty server. It speaks the necessary part of nchan's protocol, and sends what misdeed
// makes of each message.
type fake struct {
	misdeed func(n int, body []byte) [][]byte // n counts posts without greetings, from 1

	mu    sync.Mutex
	conns map[string][]*websocket.Conn // by channel
	n     int
}

// startFake runs a fake until the test ends.
func startFake(t *testing.T, misdeed func(n int, body []byte) [][]byte) (*fake, Options) {
	t.Helper()
	f := &fake{misdeed: misdeed, conns: map[string][]*websocket.Conn{}}
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		f.cut()
		server.CloseClientConnections()
		server.Close()
	})
	return f, Options{Peer: Nchan, Sub: []string{server.URL + "/sub/{channel}"}, Pub: []string{server.URL + "/pub/{channel}"},
		Settle: 10 * time.Millisecond, Patience: 2 * time.Second}
}

// cut closes all connections without an answer.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, all := range f.conns {
		for _, c := range all {
			c.CloseNow()
		}
		delete(f.conns, name)
	}
}

// ServeHTTP takes posts and subscribers.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[len("/sub/"):]
	if r.Method == http.MethodGet {
		f.mu.Lock()
		defer f.mu.Unlock() // so that the next post finds the connection
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			f.conns[name] = append(f.conns[name], c)
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := [][]byte{body}
	if m, _, ok := nextMark(body); ok && m.sequence > 0 {
		f.n++
		out = f.misdeed(f.n, body)
	}
	if out == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, c := range f.conns[name] {
		for _, b := range out {
			c.Write(context.Background(), websocket.MessageText, b)
		}
	}
	w.WriteHeader(http.StatusCreated)
}

// newLiveSubscriber returns a subscriber without a connection, and frames of a server with n
// messages for it.
func newLiveSubscriber(tb testing.TB, n int) (s *subscriber, frames []byte) {
	tb.Helper()
	l, err := loop.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	r := &run{loop: l, report: newReport(&Options{})}
	s = &subscriber{run: r, form: Text, transport: WebSocket, phase: live}
	s.watch(&stream{number: 1, posted: 1 << 30})
	body := newBody(256)
	for i := range n {
		mark{1, uint32(i + 1), 0}.put(body[bodyMark:])
		frames = append(frames, 0x81, 126, 1, 0)
		frames = append(frames, body...)
	}
	return s, frames
}

// closedPort returns an address at which no process listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}
