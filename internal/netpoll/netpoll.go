// Package netpoll holds connections at rest, on which no goroutine waits.
//
// A connection that is served here alternates between two states. While it is read, one goroutine calls its read function,
// which may block as it likes. While it rests, there is only an entry in a table and in the kernel: when there is something to
// read, or the connection is closed, a goroutine is started and reads again. Where that is not to be had (another system, a
// connection without a descriptor, a kernel that refuses), the goroutine stays and blocks in the read function: the caller sees
// no difference.
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

// Notifier is a connection that tells by itself when it can be read. Tests have such, where there are no descriptors.
type Notifier interface {
	net.Conn
	// NotifyReadable has f called once, by a goroutine of its own, when Read will not block. It returns at once. After Close, f
	// may still be called or not.
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

// New makes a set that waits as the system does it best. All goroutines of the set are begun by start, whose caller waits for them: it is
// the Go of a [sync.WaitGroup], as a rule.
func New(start func(func())) *Set { return &Set{start: start} }

// NewPlain makes a set in which each connection has a goroutine of its own at all times.
func NewPlain(start func(func())) *Set { return &Set{start: start, plain: true} }

// Start runs f in a goroutine of s.
func (s *Set) Start(f func()) { s.start(f) }

// Close lets s end: its goroutines do, once all connections have been closed. Connections that are read after that rest no more. A
// second call does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if p := s.poller.Load(); p != nil {
		p.close()
	}
}

// The states of a connection.
const (
	reading int32 = iota // a goroutine reads, or is about to
	resting              // none does; whoever changes the state starts one
	claimed              // no goroutine of ours reads: that is for whoever has claimed it
	closed               // for good; the goroutine hears of it by reading
)

// Conn is a connection of a set. All methods may be called concurrently. It must be closed by its own Close, not by that of the connection
// that it was made of: closing a descriptor takes it out of the kernel's set without a word, and nobody would be woken.
type Conn struct {
	net.Conn
	set     *Set
	socket  syscall.RawConn     // of Conn; nil if it has no descriptor
	writing sync.Mutex          // held by who writes, and by who has written a part
	read    func() (again bool) // of the last Serve
	unread  *bytes.Reader       // what is read before the socket; nil if there is nothing. Owned by the reader
	state   atomic.Int32
	place   place // owned by the poller
}

// Open returns the number of connections of s, from Hold until they are closed or claimed.
func (s *Set) Open() int64 { return s.open.Load() }

// Hold makes conn one of s, unless it is. Nothing happens to it before Serve.
func (s *Set) Hold(conn net.Conn) *Conn {
	if c, ok := conn.(*Conn); ok && c.set == s {
		return c
	}
	s.open.Add(1)
	return &Conn{Conn: conn, set: s, socket: descriptor(conn)}
}

// Unread has b read again, before what is in the socket. It is called by who reads, or before Serve. b is
// not empty, and must not be changed afterwards.
func (c *Conn) Unread(b []byte) { c.unread = bytes.NewReader(b) }

// Read implements [net.Conn].
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
		err := c.socket.Read(a.receive) // which looks at the deadline first, as Control does not
		n, ok, failed := a.n, a.ok, a.err
		c.set.giveBack(a)
		switch {
		case err != nil || !ok: // it is closed, its deadline has expired, or it has to be waited for
		case failed == nil || failed == io.EOF:
			return n, failed
		default:
			return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: failed}
		}
	}
	return c.Conn.Read(b)
}

// CloseWrite ends our half of the connection, if it has halves.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write implements [net.Conn]. What one call writes comes in one piece.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.Conn.Write(b)
}

// TryWrite writes b if that goes without waiting, and returns nil. Else it returns what writes the rest of b, which must be called, may block
// as Write does, and gives its error: no other Write gets through before.
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

// finish writes the rest of what an attempt could not, unless it failed. c.writing is held, and let go.
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

// attempt is a read or a write that does not wait. Such are kept, so that they need not be made for each.
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

// Serve has read called whenever there is something to read, by one goroutine at a time, until it reports false. It may be called
// with nothing to read, so it should block until there is. It must not report true while it holds bytes that it has taken from the
// connection but not used: only what is still in the socket wakes it again. Once the connection is closed, read is called until
// it reports false. Serve returns at once, and may be called again after that, or after a Claim.
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

// rest lets the connection rest, and reports false if the caller must go on reading: the connection is closed, or there is nobody
// to wake it. It may have been woken, and be read by another goroutine, before rest returns.
func (c *Conn) rest() bool {
	if c.set.plain || c.unread != nil || !c.state.CompareAndSwap(reading, resting) {
		return false
	}
	if c.armed() {
		return true
	}
	return !c.state.CompareAndSwap(resting, reading) // else whoever closed it has started a goroutine, or somebody has claimed it
}

// armed sees to it that wake is called when there is something to read, and reports false if that cannot be.
func (c *Conn) armed() bool {
	if n, ok := c.Conn.(Notifier); ok {
		n.NotifyReadable(c.wake)
		return true
	}
	p := c.set.pollerFor(c)
	if p == nil {
		return false
	}
	if p.arm(c) != nil {
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

// wake has c read, if it rests.
func (c *Conn) wake() {
	if c.state.CompareAndSwap(resting, reading) {
		c.set.start(c.run)
	}
}

// Close closes the connection. If it rests, it is read once more.
func (c *Conn) Close() error {
	before := c.state.Swap(closed)
	if before == reading || before == resting {
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

// Claim makes the caller the one who reads, if the connection rests, and gives what it was made of. The caller may have that served elsewhere,
// in another process too, and has no more use for c then; or calls Serve, and all is as before. It reports false if the connection does
// not rest: it is being read, or it is closed, or it never rests at all.
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

// pollerFor gives the poller, which is made for the first connection that it can watch; nil if it cannot watch c.
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
