package edge

import (
	"net/http"
	"runtime/debug"
)

// start runs f in a goroutine that Run waits for. After a panic it calls crash, which ends the connection that f is about.
func (e *Edge) start(crash, f func()) {
	e.connections.Go(func() {
		defer e.config.Panics.Recover("goroutine", crash)
		f()
	})
}

// abortOnPanic is deferred by a handler. It reports a panic and goes on with one that has net/http close the connection without a
// word: an empty answer would say something to the client. On a connection that net/http does not have, it leaves all to serveHead.
func (e *Edge) abortOnPanic(w http.ResponseWriter) {
	if _, ours := w.(*handWriter); ours || e.config.Panics == nil {
		return
	}
	if v := recover(); v != nil {
		e.config.Panics("request", v, debug.Stack())
		panic(http.ErrAbortHandler)
	}
}

// crash implements writable: it ends the connection, wherever the panic was. The reader takes it down.
func (c *wsConn) crash() { c.abort(ReasonPanic) }

// readerCrashed takes the connection down after a panic of its reader.
func (c *wsConn) readerCrashed() {
	c.abort(ReasonPanic)
	c.takeDown()
}

// crash implements writable: it takes the poll and its connection down, as far as they are not. It is not called while net/http has
// the connection, nor by anybody but who answers or reads.
func (p *poll) crash() {
	p.end(ReasonPanic)
	p.mu.Lock()
	over := p.phase == pollDone
	p.phase = pollDone
	p.mu.Unlock()
	if p.takeDown() {
		p.edge.metrics.ends[ReasonPanic].Inc()
	}
	if !over {
		p.drop()
	}
}

// requestCrashed takes off a poll whose request's goroutine panics, and goes on panicking.
func (p *poll) requestCrashed() {
	if p.conn != nil {
		p.crash()
		return
	}
	if p.takeDown() {
		p.edge.metrics.ends[ReasonPanic].Inc()
	}
	p.edge.wheel.remove(p, p.slot)
}
