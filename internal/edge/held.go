package edge

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/park"
)

const (
	// keptConnection is how long a connection rests after an answer before the next request: above the 60 s of nginx, so that nginx closes first.
	keptConnection = 75 * time.Second
	// answerTimeout is how long the writing of an answer may take. A batch is bounded, and a proxy takes it at once.
	answerTimeout = time.Minute
)

// hold takes the connection of a poll from net/http and lets it rest.
func (p *poll) hold(w http.ResponseWriter, r *http.Request) {
	conn, early, err := hijack(w)
	if err != nil {
		p.edge.logger.Error("a poll could not be held", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		p.takeDown()
		p.edge.wheel.remove(p, p.slot)
		return
	}
	p.minor = r.ProtoMinor
	p.keeps = r.ProtoAtLeast(1, 1) && !r.Close && r.ContentLength == 0 && p.edge.returned.served()
	p.conn = p.edge.resting.Hold(conn)
	p.edge.ceiling.apart.Add(1)
	if p.early = early; len(early) == 0 {
		p.conn.Serve(p.read)
	}
	if !p.hands.CompareAndSwap(byRequest, byHand) {
		p.hands.Store(byHand)
		p.edge.writers.add(p)
	}
}

// wake is called by the session when it is due.
func (p *poll) wake() {
	if !p.hands.CompareAndSwap(byRequest, byWakened) {
		p.edge.writers.add(p)
	}
}

// turn implements writable. One runs at a time, because the session wakes only when it rests.
func (p *poll) turn(press *press) (again bool) {
	if p.ctx.Err() != nil {
		p.edge.connections.Go(p.answerByHand)
		return false
	}
	batch, ok := p.session.TryNext()
	if !ok {
		p.edge.connections.Go(p.answerByHand)
		return false
	}
	messages := p.tenant.withNote(&p.sub, batch)
	if len(messages) == 0 {
		return batch.Nudged
	}
	packet, _ := press.encode(&p.sub, messages, math.MaxInt)
	if packet.frame == nil {
		p.withheld = true
		return !p.session.Rest()
	}
	w := &handWriter{poll: p, header: make(http.Header), status: http.StatusOK, hasty: true}
	err := p.edge.answer(w, p.sub, packet)
	if w.finish == nil {
		p.edge.answered(packet, err)
		p.close(w)
		return false
	}
	p.edge.connections.Go(func() {
		p.edge.answered(packet, w.wait())
		p.close(w)
	})
	return false
}

// answerByHand answers a held poll, if there is anything to answer, whatever it has to wait for.
func (p *poll) answerByHand() {
	w := &handWriter{poll: p, header: make(http.Header), status: http.StatusOK}
	if p.settle(w) {
		p.close(w)
	}
}

// close ends a poll that was answered, and sees to its connection. It does not block.
func (p *poll) close(w *handWriter) {
	p.takeDown()
	kept := w.end()
	p.mu.Lock()
	early := p.early
	switch {
	case !kept || p.gone || p.last:
		p.phase, early, kept = pollDone, nil, false
	case len(early) > 0:
		p.phase = pollDone
	default:
		p.phase, p.since = pollKept, time.Now()
	}
	p.mu.Unlock()
	switch {
	case !kept:
		p.drop()
	case len(early) > 0:
		p.edge.connections.Go(func() { p.giveBack(early) })
	}
}

// read implements the reading of a connection at rest: what comes is the next request, if anything, and not ours to read.
func (p *poll) read() (again bool) {
	first := make([]byte, 1)
	_, err := p.conn.Read(first)
	p.mu.Lock()
	before := p.phase
	switch {
	case before == pollKept:
		p.phase = pollDone
	case err != nil:
		p.gone = true
	default:
		p.early = first
	}
	p.mu.Unlock()
	switch {
	case before == pollKept && err == nil:
		p.giveBack(first)
	case before == pollKept:
		p.drop()
	case before == pollHeld && err != nil:
		p.finish(ReasonClientClosed)
	}
	return false
}

// drop closes the connection.
func (p *poll) drop() {
	p.edge.ceiling.apart.Add(-1)
	p.edge.wheel.remove(p, p.slot)
	p.conn.Close()
}

// giveBack returns the connection to net/http, with what has been read of the next request.
func (p *poll) giveBack(early []byte) {
	p.edge.ceiling.apart.Add(-1)
	p.edge.wheel.remove(p, p.slot)
	p.edge.returned.offer(&returnedConn{p.conn, early})
}

// handWriter writes one answer on a connection that net/http does not have any more, in one piece.
type handWriter struct {
	poll   *poll
	header http.Header
	status int
	begun  bool // something is due: a status was set or a body written
	sent   bool
	kept   bool // and the connection is good for another request

	hasty  bool         // it must not wait
	finish func() error // what is left to do, if it would have had to
}

// Header implements [http.ResponseWriter].
func (w *handWriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *handWriter) WriteHeader(status int) { w.status, w.begun = status, true }

// Write implements [http.ResponseWriter]. It is called once: b is the whole body.
func (w *handWriter) Write(b []byte) (int, error) {
	w.header.Set("Content-Length", strconv.Itoa(len(b)))
	return len(b), w.send(b)
}

// end writes what has no body, and reports whether the connection can be kept.
func (w *handWriter) end() bool {
	if w.begun && !w.sent {
		_ = w.send(nil) // then it is not kept
	}
	return w.kept
}

func (w *handWriter) send(body []byte) error {
	keep := w.poll.keeps && !w.poll.edge.draining.Load()
	if !keep && w.poll.minor > 0 {
		w.header.Set("Connection", "close")
	}
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	out.Grow(512 + len(body))
	fmt.Fprintf(&out, "HTTP/1.%d %d %s\r\n", w.poll.minor, w.status, http.StatusText(w.status))
	w.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(body)
	w.sent, w.kept = true, keep
	if w.hasty {
		w.finish = w.poll.conn.TryWrite(out.Bytes())
		return nil
	}
	w.finish = func() error {
		_, err := w.poll.conn.Write(out.Bytes())
		return err
	}
	return w.wait()
}

// wait finishes what was sent.
func (w *handWriter) wait() error {
	w.poll.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	err := w.finish()
	w.poll.conn.SetWriteDeadline(time.Time{})
	w.kept = w.kept && err == nil
	return err
}

// hijack takes a connection from net/http, with what the client has sent too soon.
func hijack(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if again, ok := conn.(*returnedConn); ok {
		conn = again.Conn // the rest of it has been read with the request
	}
	early, _ = buffered.Reader.Peek(buffered.Reader.Buffered())
	return conn, bytes.Clone(early), nil
}

// returnedConn is a connection that net/http has again, and of which something has been read.
type returnedConn struct {
	*park.Conn
	early []byte // owned by the reader
}

// Read implements [net.Conn].
func (c *returnedConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// returned is a listener that accepts the connections of polls again.
type returned struct {
	conns  chan net.Conn // never closed
	closed chan struct{}
	once   sync.Once
	used   atomic.Bool
}

func newReturned() *returned {
	return &returned{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// served reports whether anybody accepts.
func (l *returned) served() bool { return l.used.Load() }

// offer gives a connection to whoever accepts.
func (l *returned) offer(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.closed:
		conn.Close()
	}
}

// Accept implements [net.Listener].
func (l *returned) Accept() (net.Conn, error) {
	l.used.Store(true)
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *returned) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *returned) Addr() net.Addr { return &net.UnixAddr{Name: "returned", Net: "unix"} }
