// Package front owns the subscribers' port: it reads one request head at a time, calls a handler,
// and keeps or closes the connection.
//
// It is a small, strict HTTP/1.x server (RFC 9112) for requests without a body. A connection is in
// one of these states, from its accept to its close:
//
//	accept ──► waiting ──────────► handling ─── answer ──► waiting again, or lingering ──► closed
//	              │   a whole head    │
//	              │                   ├─ Hold ────► held ── Answer ──► handling
//	              │                   │               └─ the client hangs up ──► closed
//	              │                   └─ Hijack ──► owned by the hijacker, which closes it
//	              └─ a wrong head ────────────────► lingering
//
// A waiting or lingering connection is closed when its time is over. A connection in the states
// waiting, held and lingering has no goroutine (see package netpoll). Requests of one connection
// are served one at a time: what a client sends ahead waits until the request before it is
// answered.
package front

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"pushgate/internal/contain"
	"pushgate/internal/netpoll"
)

// Times and sizes of a connection.
const (
	// HeadTimeout is how long a request head may take: the first one from the accept on, later ones
	// from their first byte on.
	HeadTimeout = 10 * time.Second
	// KeepTimeout is how long a connection may wait for its next request. It is above the 60 s of
	// nginx, so that nginx closes first.
	KeepTimeout = 75 * time.Second
	// WriteTimeout is how long the writing of an answer may take.
	WriteTimeout = time.Minute
	// MaxHead is the longest request head, in bytes.
	MaxHead = 64 << 10

	lingerTimeout = time.Second // for the client to read its last answer
	leaveGrace    = time.Second // for the request of a new connection while the server leaves
)

// Config is what a [Server] is made of. Handler, Conns and Heartbeats are required. The handler may
// be called concurrently, for requests of different connections.
type Config struct {
	Handler    http.Handler
	Conns      *netpoll.Set        // where connections rest
	Heartbeats *netpoll.Heartbeats // ticks all connections that are neither hijacked nor closed

	// These may be called concurrently.
	Admit   func() bool      // reports whether there is room for one more connection; nil: always
	Refused func(status int) // counts heads that no handler has seen; nil counts nothing
	Panics  contain.Report   // of requests, whose connections are closed

	// MaxPending bounds the bytes of unfinished heads and of requests sent ahead, of all
	// connections together. 0 is 16 MiB.
	MaxPending int64
}

// Server serves connections. Its methods may be called concurrently.
type Server struct {
	config  Config // immutable
	leaving atomic.Bool
	pending atomic.Int64 // bytes received and not used yet
}

// New returns a server, which has no goroutine and nothing to close: its connections end by
// themselves, by [Server.Leave] and [Conn.Leave], or by [Conn.Cut].
func New(config Config) *Server {
	if config.MaxPending == 0 {
		config.MaxPending = 16 << 20
	}
	return &Server{config: config}
}

// Accept serves conn, which belongs to the server from now on. It returns at once.
func (s *Server) Accept(conn net.Conn) {
	c := &Conn{server: s, net: s.config.Conns.Hold(conn), slot: netpoll.RandomSlot(), since: time.Now(), fresh: true}
	if s.config.Admit != nil && !s.config.Admit() {
		c.net.Close()
		return
	}
	s.config.Heartbeats.Add(c, c.slot)
	c.net.Serve(c.read)
}

// TakeOver serves a request that a server of net/http has read, and hijacks its connection from
// that server. It is for programs that serve other requests on the same port, too: the connection
// is closed after the answer. A request with a body is refused, like everywhere here.
func (s *Server) TakeOver(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = conn.SetDeadline(time.Time{}) // that of the other server
	head := fmt.Appendf(nil, "%s %s HTTP/1.%d\r\nHost: %s\r\n", r.Method, r.RequestURI, min(r.ProtoMinor, 1), r.Host)
	head = append(head, headerText(r.Header)...)
	switch { // net/http takes both fields out of the header
	case r.ContentLength > 0:
		head = fmt.Appendf(head, "Content-Length: %d\r\n", r.ContentLength)
	case r.ContentLength < 0:
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	}
	head = append(head, "\r\n"...)
	ahead, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	c := &Conn{server: s, net: s.config.Conns.Hold(conn), slot: netpoll.RandomSlot(), since: time.Now(), fresh: true, last: true}
	if s.config.Admit != nil && !s.config.Admit() {
		c.net.Close()
		return
	}
	c.mu.Lock()
	kept := c.keepLocked(append(head, ahead...))
	c.mu.Unlock()
	s.config.Heartbeats.Add(c, c.slot)
	if !kept {
		c.Cut()
		return
	}
	s.config.Conns.Start(c.resume)
}

func headerText(header http.Header) []byte {
	var b bytes.Buffer
	_ = header.Write(&b) // a bytes.Buffer takes all
	return b.Bytes()
}

// Leave makes the server close each connection after its next answer. It does not close those that
// wait for a request: [Conn.Leave] does.
func (s *Server) Leave() { s.leaving.Store(true) }
