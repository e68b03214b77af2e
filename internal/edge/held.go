package edge

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"pushgate/internal/netpoll"
)

const (
	// keptConnection is how long a connection rests after an answer before the next request: above the 60 s of nginx, so that nginx closes first.
	keptConnection = 75 * time.Second
	// answerTimeout is how long the writing of an answer may take. A batch is bounded, and a proxy takes it at once.
	answerTimeout = time.Minute
)

// hold lets the connection of a poll rest, which it takes from net/http if that still has it.
func (p *poll) hold(w http.ResponseWriter, r *http.Request) {
	if p.conn == nil {
		conn, early, err := hijack(w)
		if err != nil {
			p.edge.logger.Error("a poll could not be held", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			p.takeDown()
			p.edge.wheel.remove(p, p.slot)
			return
		}
		p.edge.ceiling.apart.Add(1)
		p.handed, p.early = newHanded(p.edge, p.edge.resting.Hold(conn), r), early
	}
	if len(p.early) == 0 {
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
	batch := p.session.Next()
	messages := p.tenant.withNote(&p.sub, batch)
	if len(messages) == 0 {
		return batch.Nudged
	}
	packet, _ := press.encode(&p.sub, messages, math.MaxInt)
	if packet.frame == nil {
		p.withheld = true
		return !p.session.Rest()
	}
	w := p.writer()
	w.hasty = true
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
	w := p.writer()
	if p.settle(w) {
		p.close(w)
	}
}

// close ends a poll that was answered, and sees to its connection. It does not block. It reports whether the connection is kept.
func (p *poll) close(w *handWriter) (kept bool) {
	p.takeDown()
	kept = w.end()
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
		p.edge.connections.Go(func() {
			p.edge.wheel.remove(p, p.slot)
			p.edge.giveBack(p.conn, early)
		})
	}
	return kept
}

// read implements the reading of a connection at rest: what comes is the next request, if anything. The poll does not look at it before it is answered.
func (p *poll) read() (again bool) {
	h := heads.Get().(*head)
	defer heads.Put(h)
	err := h.read(p.conn)
	p.mu.Lock()
	before := p.phase
	switch {
	case before == pollKept:
		p.phase = pollDone
	case err != nil:
		p.gone = true
	default:
		p.early = h.copied()
	}
	p.mu.Unlock()
	switch {
	case before == pollKept && err == nil:
		p.edge.wheel.remove(p, p.slot)
		p.edge.serveHead(p.conn, h)
	case before == pollKept:
		p.drop()
	case before == pollHeld && err != nil:
		p.finish(ReasonClientClosed)
	}
	return false
}

// drop closes the connection.
func (p *poll) drop() {
	p.edge.wheel.remove(p, p.slot)
	p.edge.dropHeld(p.conn)
}

// handed is a connection that net/http does not have, and what the last request on it said of the answer. It is immutable.
type handed struct {
	edge  *Edge
	conn  *netpoll.Conn
	minor int  // HTTP/1.0 or HTTP/1.1
	keeps bool // the client would keep the connection
}

func newHanded(e *Edge, conn *netpoll.Conn, r *http.Request) handed {
	keeps := r.ProtoAtLeast(1, 1) && !r.Close && r.ContentLength == 0 && e.returned.served()
	return handed{e, conn, r.ProtoMinor, keeps}
}

// handWriter writes one answer on a connection that net/http does not have, in one piece.
type handWriter struct {
	handed
	taken  bool // somebody else sees to the connection after the answer, be it a poll or a WebSocket; else it is closed
	header http.Header
	status int
	begun  bool // something is due: a status was set or a body written
	sent   bool
	kept   bool // and the connection is good for another request

	hasty  bool         // it must not wait
	finish func() error // what is left to do, if it would have had to
}

func (c handed) writer() *handWriter {
	return &handWriter{handed: c, taken: true, header: make(http.Header), status: http.StatusOK}
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
	keep := w.taken && w.keeps && !w.edge.draining.Load()
	if !keep && w.minor > 0 {
		w.header.Set("Connection", "close")
	}
	if body == nil && w.status != http.StatusNotModified {
		w.header.Set("Content-Length", "0")
	}
	w.kept = keep
	w.start(body)
	if w.hasty || w.finish == nil {
		return nil
	}
	return w.wait()
}

// start writes the answer as far as that goes without waiting.
func (w *handWriter) start(body []byte) {
	w.sent = true
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	out.Grow(512 + len(body))
	fmt.Fprintf(&out, "HTTP/1.%d %d %s\r\n", w.minor, w.status, http.StatusText(w.status))
	w.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(body)
	w.finish = w.conn.TryWrite(out.Bytes())
}

// wait finishes what was sent.
func (w *handWriter) wait() error {
	w.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	err := w.finish()
	w.conn.SetWriteDeadline(time.Time{})
	w.kept = w.kept && err == nil
	return err
}

// hijack gives the connection to the caller, after the head of the answer if there is one.
func (w *handWriter) hijack() (net.Conn, error) {
	w.taken = true
	w.edge.ceiling.apart.Add(-1)
	if !w.begun {
		return w.conn, nil
	}
	w.start(nil)
	if w.finish == nil {
		return w.conn, nil
	}
	return w.conn, w.wait()
}

// hijack takes the connection of a request from whoever has it, with what the client has sent too soon.
func hijack(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	if w, ok := w.(*handWriter); ok {
		conn, err := w.hijack()
		return conn, nil, err
	}
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
