package ops

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a connection. There is no time limit for an answer: a long poll rests, and handlers
// that need one set it.
const (
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is above nginx's keepalive_timeout of 60 s, so that nginx closes first.
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 64 << 10
)

const (
	// lookPause is the time between two looks at the connections of a port that is left.
	lookPause = 10 * time.Millisecond
	// silence is how long a connection may take to bring its first request when the port shuts
	// down. nginx and PHP send it as soon as they have connected.
	silence = 2 * time.Second
)

// HTTPPort is a [Port] for HTTP that is left without losing a request: [http.Server.Shutdown]
// closes a connection on which a request is just being read, and its client does not know what
// became of it. Its methods may be called concurrently.
type HTTPPort struct {
	*http.Server

	closing atomic.Bool // each answer closes its connection

	mu    sync.Mutex
	conns map[net.Conn]phase // guarded by mu; not those that were hijacked
}

// phase is what a connection of an [HTTPPort] does.
type phase int

const (
	silent   phase = iota // has brought no request yet
	asks                  // has a request, and is kept after the answer
	asksLast              // has a request, and the answer closes it
	rests                 // waits for another request
)

// NewPort makes a port for handler: a server with limits, whose refused heads are counted with
// registry, and whose errors are logged.
func NewPort(handler http.Handler, registry prometheus.Registerer, logger *slog.Logger) *HTTPPort {
	p := &HTTPPort{Server: newServer(nil, logger), conns: make(map[net.Conn]phase)}
	p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.closing.Load() {
			p.enter(r.Context().Value(connKey{}).(net.Conn), asksLast)
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
	p.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			p.enter(conn, silent)
		case http.StateActive:
			p.enter(conn, asks)
		case http.StateIdle:
			p.enter(conn, rests)
		case http.StateHijacked, http.StateClosed:
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, conn)
		}
	}
	newRefused(registry).watch(p.Server)
	return p
}

func (p *HTTPPort) enter(conn net.Conn, next phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = next
}

// in returns the connections in a phase.
func (p *HTTPPort) in(wanted ...phase) (conns []net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn, phase := range p.conns {
		if slices.Contains(wanted, phase) {
			conns = append(conns, conn)
		}
	}
	return conns
}

// await returns when no connection is in a phase, or ctx's error if it ends before.
func (p *HTTPPort) await(ctx context.Context, unwanted ...phase) error {
	look := time.NewTicker(lookPause)
	defer look.Stop()
	for len(p.in(unwanted...)) > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// CloseAfterAnswers makes each answer to a request that comes from now on say that it is the last
// one on its connection. [http.Server.SetKeepAlivesEnabled] also closes the connections that rest,
// but a request may be on its way on one of them.
func (p *HTTPPort) CloseAfterAnswers() { p.closing.Store(true) }

// Retire calls [HTTPPort.CloseAfterAnswers], and returns when all connections that were kept have
// had such an answer or were closed by their clients, or when ctx ends. New connections are still
// served, with one answer each.
func (p *HTTPPort) Retire(ctx context.Context) {
	p.CloseAfterAnswers()
	_ = p.await(ctx, asks, rests)
}

// Shutdown implements [Port]. It closes connections that rest, and those that bring no request
// within two seconds. It must be called when Serve has returned.
func (p *HTTPPort) Shutdown(ctx context.Context) error {
	p.CloseAfterAnswers()
	soon, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_ = p.await(soon, silent)
	for _, conn := range p.in(silent) {
		conn.Close()
	}
	if err := p.await(ctx, asks, asksLast); err != nil {
		return err
	}
	return p.Server.Shutdown(ctx)
}

func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(complaints{logger}, "", 0),

		DisableGeneralOptionsHandler: true, // to the handler, OPTIONS * is one more unknown path
	}
}

// complaints takes the lines that net/http logs. What clients do wrong is logged at debug level; a
// panic of a handler is an error.
type complaints struct{ logger *slog.Logger }

// Write implements [io.Writer]; each call is one line.
func (c complaints) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic serving")) {
		level = slog.LevelError
	}
	c.logger.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
