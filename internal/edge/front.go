package edge

import (
	"net"
	"sync/atomic"
	"time"

	"pushgate/internal/netpoll"
)

const (
	// headTimeout is how long a new connection may take to send something; net/http takes care of those that go on slowly after that.
	headTimeout = 10 * time.Second
	// headGrace is how long a new connection is left alone although the edge is leaving: its request may be on its way.
	headGrace = time.Second
)

// newcomer is a connection that has not sent anything yet. It rests, and is read once.
type newcomer struct {
	edge  *Edge
	conn  *netpoll.Conn
	since time.Time
	slot  int
	over  atomic.Bool // it has been read, or is being closed
}

// Accept serves a new connection. Subscriptions whose request comes whole, as nearly all do, are served at once: net/http would make buffers and
// goroutines for each, only to have the connection taken from it. All others are given to who serves [Edge.Returned]; nobody else may have any more
// to do with conn.
func (e *Edge) Accept(conn net.Conn) {
	if !e.begin() {
		conn.Close()
		return
	}
	defer e.connections.Done()
	e.ceiling.apart.Add(1)
	if e.ceiling.beyond() {
		e.ceiling.apart.Add(-1)
		e.metrics.full[fullConnections].Inc()
		conn.Close()
		return
	}
	n := &newcomer{edge: e, conn: e.resting.Hold(conn), since: time.Now()}
	n.slot = e.wheel.add(n)
	n.conn.Serve(n.read)
}

// read implements the reading of the connection: it serves the first request.
func (n *newcomer) read() (again bool) {
	h := heads.Get().(*head)
	defer heads.Put(h)
	err := h.read(n.conn)
	n.edge.wheel.remove(n, n.slot)
	if err != nil || n.over.Swap(true) {
		n.edge.dropHeld(n.conn)
		return false
	}
	n.edge.serveHead(n.conn, h)
	return false
}

// visit implements member: it closes a connection on which nothing comes.
func (n *newcomer) visit(now time.Time) { n.close(now, headTimeout) }

func (n *newcomer) leave() { n.close(time.Now(), headGrace) }
func (n *newcomer) cut()   { n.close(time.Now(), 0) }

// close closes a connection of some age that has not sent anything. The reader takes it down.
func (n *newcomer) close(now time.Time, age time.Duration) {
	if now.Sub(n.since) >= age && !n.over.Swap(true) {
		n.conn.Close()
	}
}

// serveHead serves what h has read on a connection that net/http does not have, or gives the connection to net/http.
func (e *Edge) serveHead(conn *netpoll.Conn, h *head) {
	r := h.request()
	if r == nil {
		e.giveBack(conn, h.copied())
		return
	}
	r.RemoteAddr = conn.RemoteAddr().String()
	w := newHanded(e, conn, r).writer()
	w.taken = false
	e.admitted(e.subscribe)(w, r)
	if !w.taken {
		w.end()
		e.dropHeld(conn)
	}
}

// dropHeld closes a connection that net/http does not have.
func (e *Edge) dropHeld(conn *netpoll.Conn) {
	e.ceiling.apart.Add(-1)
	conn.Close()
}
