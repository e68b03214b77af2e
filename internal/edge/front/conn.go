package front

import (
	"net/http"
	"sync"
	"time"

	"pushgate/internal/netpoll"
)

// phase is the state of a connection, as drawn in the package's doc.
type phase uint8

const (
	waiting   phase = iota // for a request head
	handling               // a handler is at work, or its answer is being written
	held                   // its Holder answers the request
	owned                  // hijacked: not ours any more
	lingering              // answered for the last time; what still comes is discarded
	closed
)

// Holder answers a held request (see [Hold]). Its methods must not block.
type Holder interface {
	// Gone says that the client has hung up. The connection is closed.
	Gone()
	// Leave asks for an answer soon: the server is leaving.
	Leave()
}

// Conn is one connection of a [Server]. Its methods may be called concurrently.
type Conn struct {
	server *Server
	net    *netpoll.Conn
	slot   int

	mu      sync.Mutex
	since   time.Time // when the phase began, or the first byte of an unfinished head came
	pending []byte    // received and not used yet
	scanned int       // bytes of pending in which no head ends
	holder  Holder    // while the request is held
	phase   phase
	fresh   bool // no request has come yet
	stopped bool // nothing is read until the held request is answered
	last    bool // the connection is never kept
	cut     bool // no answer is waited for any more
	keep    bool // the request lets the connection be kept
	minor   int8 // of the request: HTTP/1.0 or HTTP/1.1
}

// readBuffers lends what a read needs, because a connection at rest has no buffer.
var readBuffers = sync.Pool{New: func() any { return new([8 << 10]byte) }}

// read reads what there is, and serves the requests that are complete. It is the function for
// [netpoll.Conn.Serve], and reports true if the connection may rest.
func (c *Conn) read() (rest bool) {
	defer c.server.config.Panics.Recover("head", c.abandon)
	buffer := readBuffers.Get().(*[8 << 10]byte)
	n, err := c.net.Read(buffer[:])
	head, rest := c.arrived(buffer[:n], err)
	for head != nil {
		c.serve(head)
		head, rest = c.next()
	}
	readBuffers.Put(buffer)
	return rest
}

// resume serves the requests that a client has sent ahead, and then lets the connection rest.
func (c *Conn) resume() {
	defer c.server.config.Panics.Recover("head", c.abandon)
	head, rest := c.next()
	for head != nil {
		c.serve(head)
		head, rest = c.next()
	}
	if rest {
		c.net.Serve(c.read)
	}
}

// arrived takes bytes that the client has sent, or the error of reading. It returns a whole head,
// which is valid until the next read, or whether the connection may rest.
func (c *Conn) arrived(b []byte, err error) (head []byte, rest bool) {
	c.mu.Lock()
	switch {
	case c.phase == waiting && err == nil:
		return c.nextLocked(b) // unlocks
	case c.phase == waiting, c.phase == lingering && err != nil:
		c.closeLocked()
		return nil, false
	case c.phase == lingering:
		c.mu.Unlock()
		return nil, true
	case c.phase == held:
		if err != nil || !c.keepLocked(b) {
			c.leaveHolderLocked()
			return nil, false
		}
		c.mu.Unlock()
		return c.next()
	case c.phase == handling: // the answer to a held request is being written
		c.keep = c.keep && err == nil && c.keepLocked(b)
		c.stopped = true
	}
	c.mu.Unlock()
	return nil, false
}

// next returns the head of the next request if the client has sent it ahead, or whether the
// connection may rest.
func (c *Conn) next() (head []byte, rest bool) {
	c.mu.Lock()
	if c.phase == held && len(c.pending) > 0 {
		c.mu.Unlock()
		// Before stopped is set: from then on another goroutine may serve the connection.
		c.net.WatchHangUp(c.hungUp)
		c.mu.Lock()
	}
	switch c.phase {
	case waiting:
		return c.nextLocked(nil) // unlocks
	case held:
		c.stopped = len(c.pending) > 0
		rest = !c.stopped
	case handling: // the answer to a held request is being written
		c.stopped = true
	case lingering:
		rest = true
	}
	c.mu.Unlock()
	return nil, rest
}

// hungUp closes the connection if its request is held: the client that has hung up reads no answer.
func (c *Conn) hungUp() {
	defer c.server.config.Panics.Recover("head", c.abandon)
	c.mu.Lock()
	if c.phase != held {
		c.mu.Unlock() // the next read or write notices it
		return
	}
	c.leaveHolderLocked()
}

// leaveHolderLocked closes a held connection, tells its holder, and unlocks c.mu.
func (c *Conn) leaveHolderLocked() {
	holder := c.holder
	c.closeLocked()
	holder.Gone()
}

// nextLocked adds b to the pending bytes, and returns the whole head that they begin with, or
// whether the connection may rest. It unlocks c.mu.
func (c *Conn) nextLocked(b []byte) (head []byte, rest bool) {
	all := b
	if len(c.pending) > 0 {
		if !c.keepLocked(b) {
			c.mu.Unlock()
			c.refuse(http.StatusServiceUnavailable)
			return nil, true
		}
		all = c.pending
	}
	if len(all) == 0 {
		c.mu.Unlock()
		return nil, true
	}
	end := endOfHead(all, c.scanned)
	switch {
	case end > MaxHead, end == 0 && len(all) > MaxHead:
		c.mu.Unlock()
		c.refuse(http.StatusRequestHeaderFieldsTooLarge)
		return nil, true
	case end == 0:
		if c.scanned == 0 && !c.fresh {
			c.since = time.Now() // the first byte of an unfinished head
		}
		kept := len(c.pending) > 0 || c.keepLocked(b)
		c.scanned = len(all)
		c.mu.Unlock()
		if !kept {
			c.refuse(http.StatusServiceUnavailable)
		}
		return nil, true
	}
	head, ahead := all[:end], all[end:]
	c.server.pending.Add(-int64(len(c.pending)))
	c.pending, c.scanned = nil, 0
	c.phase, c.fresh = handling, false
	fits := c.keepLocked(ahead)
	c.mu.Unlock()
	if !fits {
		c.refuse(http.StatusServiceUnavailable)
		return nil, true
	}
	return head, false
}

// keepLocked appends bytes to those that wait, and reports false if there are too many. c.mu is
// held.
func (c *Conn) keepLocked(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	s := c.server
	if s.pending.Add(int64(len(b))) > s.config.MaxPending || len(c.pending)+len(b) > 2*MaxHead {
		s.pending.Add(-int64(len(b)))
		return false
	}
	c.pending = append(c.pending, b...)
	return true
}

// serve calls the handler for the request of a head, or refuses the head.
func (c *Conn) serve(head []byte) {
	r, status := parse(head)
	if r == nil {
		c.refuse(status)
		return
	}
	r.RemoteAddr = c.net.RemoteAddr().String()
	w := newResponse(c, r)
	c.mu.Lock()
	c.minor, c.keep = int8(r.ProtoMinor), keeps(r) && !c.last
	c.mu.Unlock()
	if c.handle(w, r) {
		w.finish()
	}
}

// handle runs the handler. It reports false if the handler panicked: then the answer is 500, unless
// the request was held or its connection hijacked.
func (c *Conn) handle(w *response, r *http.Request) (ok bool) {
	defer c.server.config.Panics.Recover("request", func() {
		if w.taken {
			c.abandon()
			return
		}
		c.fail()
	})
	c.server.config.Handler.ServeHTTP(w, r)
	return true
}

// refuse answers a head that the handler does not see. The connection is not kept.
func (c *Conn) refuse(status int) {
	if c.server.config.Refused != nil {
		c.server.config.Refused(status)
	}
	c.mu.Lock()
	if c.phase == closed {
		c.mu.Unlock()
		return
	}
	c.phase, c.keep = handling, false
	c.mu.Unlock()
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	answer := appendAnswer(nil, 1, status, header, []byte(statusLine(status)), true)
	var err error
	if wait := c.net.TryWrite(answer); wait != nil {
		err = c.finish(wait)
	}
	c.answered(err)
}

// answered ends a request when its answer has been written, or could not be: err says why. A
// connection that is not kept lingers: its writing side is closed, and what still comes is
// discarded. If bytes were left unread, the kernel would reset the connection before the client has
// read the answer (RFC 9112, 9.6).
func (c *Conn) answered(err error) {
	c.mu.Lock()
	if c.phase != handling && c.phase != held {
		c.mu.Unlock()
		return
	}
	c.holder = nil
	if err != nil || c.cut {
		c.closeLocked()
		return
	}
	c.phase, c.since = waiting, time.Now()
	last := !c.keep || c.server.leaving.Load()
	if last {
		c.phase = lingering
		c.dropPendingLocked()
	}
	resume := c.stopped
	c.stopped = false
	c.mu.Unlock()
	if last {
		c.net.CloseWrite()
	}
	if resume {
		c.server.config.Conns.Start(c.resume)
	}
}

// abandon closes a connection after a panic, in whatever state it is. A hijacker that already
// serves it reads the end.
func (c *Conn) abandon() {
	c.mu.Lock()
	holder := c.holder
	if c.phase == owned || c.phase == closed {
		c.mu.Unlock()
		c.net.Close()
		return
	}
	c.closeLocked()
	if holder != nil {
		holder.Gone()
	}
}

// finish finishes the writing of an answer, within WriteTimeout.
func (c *Conn) finish(wait func() error) error {
	c.mu.Lock()
	timeout := WriteTimeout
	if c.cut {
		timeout = 0
	}
	// Under the lock, so that Cut comes before or after.
	c.net.SetWriteDeadline(time.Now().Add(timeout))
	c.mu.Unlock()
	err := wait()
	c.net.SetWriteDeadline(time.Time{})
	return err
}

// closeLocked closes the connection and unlocks c.mu. A head that has not come whole counts as
// refused.
func (c *Conn) closeLocked() {
	if c.phase == waiting && len(c.pending) > 0 && c.server.config.Refused != nil {
		c.server.config.Refused(http.StatusRequestTimeout)
	}
	c.phase, c.holder = closed, nil
	c.dropPendingLocked()
	c.mu.Unlock()
	c.server.config.Heartbeats.Remove(c, c.slot)
	c.net.Close()
}

func (c *Conn) dropPendingLocked() {
	c.server.pending.Add(-int64(len(c.pending)))
	c.pending, c.scanned = nil, 0
}

// Abandon ends a held request after a panic: with 500 if no answer has been begun. The connection
// is not kept.
func (c *Conn) Abandon() {
	c.mu.Lock()
	switch c.phase {
	case held:
		c.phase = handling
		c.mu.Unlock()
		c.fail()
	case handling:
		c.closeLocked()
	default:
		c.mu.Unlock()
	}
}

// fail answers 500, after which the connection is not kept. It does not block. A connection that
// ends without an answer would be worse: nginx then avoids this server for a while, and asks the
// others the same.
func (c *Conn) fail() {
	c.mu.Lock()
	c.keep = false
	c.mu.Unlock()
	wait := c.net.TryWrite(appendAnswer(nil, 1, http.StatusInternalServerError, make(http.Header), nil, true))
	if wait == nil {
		c.answered(nil)
		return
	}
	c.server.config.Conns.Start(func() { c.answered(c.finish(wait)) })
}
