// Package netpoll holds connections at rest, for which no goroutine waits.
//
// A connection that is served here is in one of two states. While it is read, one goroutine calls
// its read function, which may block. While it rests, it is only an entry in a table and in the
// kernel: when there is something to read, or the connection is closed, a goroutine is started and
// reads again. Where that is not possible (another system, a connection without a descriptor, a
// kernel that refuses), the goroutine stays and blocks in the read function. The caller sees no
// difference.
package netpoll

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"pushgate/internal/netpoll/socket"
)

// Notifier is a connection that reports by itself when it can be read. In tests there are such
// connections, which have no descriptor.
type Notifier interface {
	net.Conn
	// NotifyReadable returns at once. It calls f once, in a new goroutine, when Read will not
	// block. After Close, f may still be called or not.
	NotifyReadable(f func())
}

// Set is connections that rest together. Its methods may be called concurrently.
type Set struct {
	// Immutable after New.
	start func(func())
	plain bool // no connection rests without a goroutine

	attempts sync.Pool // of *attempt

	poller atomic.Pointer[poller] // nil until there is a connection that it can watch
	open   atomic.Int64           // connections that are neither closed nor claimed

	mu     sync.Mutex // held while poller is set
	closed bool
}

// New returns a set that uses epoll where the system has it. Every goroutine of the set is started
// by start, whose caller waits for them: start is usually the Go method of a [sync.WaitGroup].
func New(start func(func())) *Set { return &Set{start: start} }

// NewPlain returns a set in which each connection always has a goroutine of its own.
func NewPlain(start func(func())) *Set { return &Set{start: start, plain: true} }

// Start runs f in a goroutine of s, and returns at once.
func (s *Set) Start(f func()) { s.start(f) }

// Close makes the goroutines of s end when all connections have been closed. Connections do not
// rest after that. A second call does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if p := s.poller.Load(); p != nil {
		p.close()
	}
}

// event is what wakes a connection that nobody reads.
type event int

const (
	whenReadable event = iota // something has come, or the other end has hung up
	whenHungUp
)

// The states of a connection.
const (
	reading int32 = iota // a goroutine reads, or is about to
	resting              // none does; what changes this state starts one
	watched              // none does; a hang-up calls onHangUp (see WatchHangUp)
	claimed              // none of ours does: the connection belongs to the caller of Claim
	closed               // for good; its goroutine gets an error from Read
)

// Conn is a connection of a set. Its methods may be called concurrently where they do not say
// otherwise. It must be closed by its own Close, not by that of the connection inside: the kernel
// drops a closed descriptor from the set without an event, and the reader would never learn of it.
type Conn struct {
	net.Conn
	set     *Set
	socket  syscall.RawConn     // of Conn; nil if it has no descriptor
	writing sync.Mutex          // held until a write is complete
	read    func() (again bool) // of the last Serve
	// Of the last WatchHangUp; nil before the first.
	onHangUp atomic.Pointer[func()]
	// What is read before the socket; nil if there is nothing. Owned by the reader.
	unread *bytes.Reader
	state  atomic.Int32
	place  place // owned by the poller
}

// Open returns the number of connections of s, from Hold until they are closed or claimed.
func (s *Set) Open() int64 { return s.open.Load() }

// Hold makes conn a connection of s, unless it is one already. Nothing is read before Serve.
func (s *Set) Hold(conn net.Conn) *Conn {
	if c, ok := conn.(*Conn); ok && c.set == s {
		return c
	}
	s.open.Add(1)
	return &Conn{Conn: conn, set: s, socket: descriptor(conn)}
}

// Unread makes the next reads return b again, before what is in the socket. Only the reader may
// call it, or anybody before Serve. b must not be empty, and must not be changed afterwards.
func (c *Conn) Unread(b []byte) { c.unread = bytes.NewReader(b) }

// Read implements [net.Conn]. Only one goroutine at a time may call it: the one in the read
// function, or before Serve the connection's owner.
func (c *Conn) Read(b []byte) (int, error) {
	if c.unread != nil {
		n, _ := c.unread.Read(b)
		if c.unread.Len() == 0 {
			c.unread = nil
		}
		return n, nil
	}
	if c.socket != nil {
		a := c.set.attempt(b)
		err := c.socket.Read(a.receive) // unlike Control, it checks the deadline first
		n, ok, failed := a.n, a.ok, a.err
		c.set.giveBack(a)
		switch {
		case err != nil || !ok: // closed, the deadline has expired, or there is nothing yet
		case failed == nil || failed == io.EOF:
			return n, failed
		default:
			return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: failed}
		}
	}
	return c.Conn.Read(b)
}

// CloseWrite closes the writing side of the connection: the other end reads an end, and can still
// write. It does nothing if the connection can only be closed as a whole.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write implements [net.Conn]. The bytes of one call are never mixed with those of another.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.Conn.Write(b)
}

// TryWrite writes b as far as that goes without waiting. If all is written it returns nil. Else the
// caller must call the returned function, which writes the rest, may block as Write does, and
// returns its error. No other Write is done in between.
func (c *Conn) TryWrite(b []byte) (finish func() error) {
	if !c.writing.TryLock() {
		return func() error {
			_, err := c.Write(b)
			return err
		}
	}
	n, err := c.attempt(b)
	if n == len(b) {
		c.writing.Unlock()
		return nil
	}
	return func() error { return c.finish(b[n:], err) }
}

// finish writes the rest of what an attempt has begun, unless the attempt failed, and unlocks
// c.writing, which is held.
func (c *Conn) finish(rest []byte, err error) error {
	defer c.writing.Unlock()
	if err == nil {
		_, err = c.Conn.Write(rest)
	}
	return err
}

// attempt writes as much of b as the socket takes at once. c.writing is held.
func (c *Conn) attempt(b []byte) (int, error) {
	if c.socket == nil {
		return 0, nil
	}
	a := c.set.attempt(b)
	err := c.socket.Control(a.send)
	if err == nil {
		err = a.err
	}
	n := a.n
	c.set.giveBack(a)
	return n, err
}

// attempt is a read or a write that does not wait. It is pooled.
type attempt struct {
	b   []byte
	n   int
	ok  bool // there was something to be read
	err error

	receive func(fd uintptr) (done bool) // done is always true: it does not wait
	send    func(fd uintptr)
}

func (s *Set) attempt(b []byte) *attempt {
	a, _ := s.attempts.Get().(*attempt)
	if a == nil {
		a = new(attempt)
		a.receive = func(fd uintptr) bool {
			a.n, a.ok, a.err = socket.TryRecv(fd, a.b)
			return true
		}
		a.send = func(fd uintptr) { a.n, a.err = socket.TrySend(fd, a.b) }
	}
	a.b, a.n, a.ok, a.err = b, 0, false, nil
	return a
}

func (s *Set) giveBack(a *attempt) {
	a.b = nil
	s.attempts.Put(a)
}

// Serve calls read whenever there is something to read, in one goroutine at a time, until read
// reports false. It returns at once.
//
// read may be called when there is nothing to read, and should then block until there is. It must
// not report true while it has taken bytes from the connection that it has not used: only what is
// still in the socket wakes the connection again. After a Close, read is called until it reports
// false. Serve may be called again after read has reported false, or after a Claim.
func (c *Conn) Serve(read func() (again bool)) {
	c.read = read
	if c.state.CompareAndSwap(claimed, reading) {
		c.set.open.Add(1)
	}
	if !c.rest() {
		c.set.start(c.run)
	}
}

// run reads until the connection rests or ends.
func (c *Conn) run() {
	for c.read() {
		if c.rest() {
			return
		}
	}
}

// rest lets the connection rest. It reports false if the caller must go on reading, because the
// connection is closed or nothing could wake it. Before rest returns true, the connection may have
// been woken already, and be read by another goroutine.
func (c *Conn) rest() bool {
	c.state.CompareAndSwap(watched, reading)
	if c.set.plain || c.unread != nil || !c.state.CompareAndSwap(reading, resting) {
		return false
	}
	if c.armed(whenReadable) {
		return true
	}
	// If the state has changed, Close has started a goroutine, or the connection has been claimed.
	return !c.state.CompareAndSwap(resting, reading)
}

// WatchHangUp calls f once, in a goroutine of the set, when the other end has closed the connection
// or its writing side, although what it has sent before is not read. It is for a connection whose
// read function has reported false, and returns at once; the next Serve ends it. f may still be
// called then, and is not called at all where connections do not rest, or after Close.
//
// Only the goroutine that may call Serve may call it, or the read function.
func (c *Conn) WatchHangUp(f func()) {
	if _, ok := c.Conn.(Notifier); ok || c.set.plain {
		return
	}
	c.onHangUp.Store(&f)
	if c.state.CompareAndSwap(reading, watched) && !c.armed(whenHungUp) {
		c.state.CompareAndSwap(watched, reading)
	}
}

// armed arranges that wake is called for an event, and reports false if that is not possible.
func (c *Conn) armed(on event) bool {
	if n, ok := c.Conn.(Notifier); ok {
		n.NotifyReadable(c.wake)
		return true
	}
	p := c.set.pollerFor(c)
	if p == nil {
		return false
	}
	if p.arm(c, on) != nil {
		p.forget(c) // a Close or a Claim at the same time may have let arm enter it and no further
		return false
	}
	switch c.state.Load() { // Close or Claim may have been too early to take it out
	case closed:
		p.forget(c)
	case claimed:
		p.release(c)
	}
	return true
}

// wake starts reading c, if c rests, or calls onHangUp, if c is watched.
func (c *Conn) wake() {
	switch {
	case c.state.CompareAndSwap(resting, reading):
		c.set.start(c.run)
	case c.state.CompareAndSwap(watched, reading):
		c.set.start(*c.onHangUp.Load())
	}
}

// Close closes the connection. If it rests, its read function is called once more.
func (c *Conn) Close() error {
	before := c.state.Swap(closed)
	if before != claimed && before != closed {
		c.set.open.Add(-1)
	}
	if p := c.set.poller.Load(); p != nil {
		p.forget(c)
	}
	err := c.Conn.Close()
	if before == resting {
		c.set.start(c.run)
	}
	return err
}

// Claim takes a connection that rests away from its reader, and returns the connection inside. The
// caller may pass that on, also to another process, and then uses c no more; or it calls Serve, and
// c goes on as before. Claim reports false if the connection does not rest: because it is being
// read, is closed, or never rests at all.
func (c *Conn) Claim() (net.Conn, bool) {
	if !c.state.CompareAndSwap(resting, claimed) {
		return nil, false
	}
	c.set.open.Add(-1)
	if p := c.set.poller.Load(); p != nil {
		p.release(c)
	}
	return c.Conn, true
}

// pollerFor returns the poller, which is made for the first connection; nil if it cannot watch c.
func (s *Set) pollerFor(c *Conn) *poller {
	if c.socket == nil {
		return nil
	}
	if p := s.poller.Load(); p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poller.Load()
	if p == nil && !s.closed {
		var err error
		if p, err = newPoller(); err != nil {
			return nil // the connection keeps its goroutine, and the next one asks again
		}
		s.poller.Store(p)
		s.start(p.run)
	}
	return p
}
