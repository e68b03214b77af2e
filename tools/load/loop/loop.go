// Package loop holds very many outgoing TCP connections in one goroutine, without a goroutine or a
// buffer for each of them.
package loop

import (
	"container/heap"
	"errors"
	"io"
	"net/netip"
	"time"
)

// ErrUnsupported is the error of [New] on systems that have no epoll.
var ErrUnsupported = errors.New("this needs epoll, which only Linux has")

// readSize is the most bytes of one read. If a server writes faster than it is read, its buffers
// get room in steps of this size.
const readSize = 256 << 10

// maxEvents is how many connections one turn of the loop serves.
const maxEvents = 512

// Handler receives the events of a connection. It is called by [Loop.Step], and may call
// everything of Loop and Conn but Step.
type Handler interface {
	// Opened is called once, when the connection is established.
	Opened(c *Conn)
	// Data takes what has arrived and was not used before. It returns how many bytes it has used;
	// the rest comes again, with more behind it. The bytes are valid during the call.
	Data(c *Conn, b []byte) (used int)
	// Closed is called once, when the connection has ended, and not after [Conn.Close]. The error
	// is [io.EOF] if the other side has closed it.
	Closed(c *Conn, err error)
}

// Loop is a set of connections and timers. It is not for concurrent use: everything happens in the
// goroutine that calls Step.
type Loop struct {
	poller *poller
	start  time.Time
	buffer []byte // shared by all connections without unused bytes
	conns  []*Conn
	open   int
	ready  []event
	timers timers
	// The number of the next timer: timers of one moment run in the order of their numbers.
	due uint64
}

// New makes a loop, which must be closed.
func New() (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &Loop{poller: p, start: time.Now(), buffer: make([]byte, readSize), ready: make([]event, maxEvents)}, nil
}

// Close closes all connections, without events for their handlers, and ends the loop.
func (l *Loop) Close() {
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	l.poller.close()
}

// Now returns the time since the loop was made, by a clock that never goes back.
func (l *Loop) Now() time.Duration { return time.Since(l.start) }

// Open returns how many connections there are, including those that are not established yet.
func (l *Loop) Open() int { return l.open }

// At calls f at a time of [Loop.Now].
func (l *Loop) At(at time.Duration, f func()) {
	l.due++
	heap.Push(&l.timers, timer{at, l.due, f})
}

// Dial begins a connection to an address, from an address of this machine or, if that is zero, from
// any. Its events go to h. An error is a fault of this machine: descriptors, ports, an
// address that it does not have.
func (l *Loop) Dial(to netip.AddrPort, from netip.Addr, h Handler) (*Conn, error) {
	fd, err := dial(to, from)
	if err != nil {
		return nil, err
	}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	c := &Conn{loop: l, handler: h, fd: fd, generation: l.poller.next(), opening: true}
	if err := l.poller.add(fd, c.generation); err != nil {
		closeFD(fd)
		return nil, err
	}
	l.conns[fd] = c
	l.open++
	return c, nil
}

// Step waits for events, at most for a time, and handles them.
func (l *Loop) Step(wait time.Duration) error {
	if l.timers.Len() > 0 {
		wait = min(wait, max(l.timers[0].at-l.Now(), 0))
	}
	n, err := l.poller.wait(l.ready, wait)
	if err != nil {
		return err
	}
	for _, e := range l.ready[:n] {
		// A descriptor may have been closed, and reused for another connection, since the kernel
		// reported the event.
		if c := l.conns[e.fd]; c != nil && c.generation == e.generation {
			c.serve(e)
		}
	}
	for now := l.Now(); l.timers.Len() > 0 && l.timers[0].at <= now; {
		heap.Pop(&l.timers).(timer).f()
	}
	return nil
}

// Conn is a connection of a [Loop].
type Conn struct {
	loop       *Loop
	handler    Handler
	fd         int
	generation uint32
	opening    bool
	paused     bool
	closed     bool
	rest       []byte // received and not used
	unsent     []byte
}

// Write sends b, or keeps a copy of what the kernel does not take now. An error goes to the
// handler later.
func (c *Conn) Write(b []byte) {
	if c.closed {
		return
	}
	if len(c.unsent) == 0 && !c.opening {
		n, err := write(c.fd, b)
		if err != nil {
			return // the next read fails
		}
		b = b[n:]
	}
	if len(b) > 0 {
		c.unsent = append(c.unsent, b...)
		c.interest()
	}
}

// Pause stops reading: what arrives fills the kernel's buffers, and then those of the other side.
func (c *Conn) Pause() { c.paused = true; c.interest() }

// Resume reads again.
func (c *Conn) Resume() { c.paused = false; c.interest() }

// Close resets the connection, so that nothing of it stays in the kernel: its port is free for the
// next one. The handler gets no event. A second call does nothing.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	c.closed = true
	c.loop.conns[c.fd] = nil
	c.loop.open--
	c.rest, c.unsent = nil, nil
	closeFD(c.fd)
}

func (c *Conn) interest() {
	if !c.closed {
		// It fails only for descriptors that are not open.
		_ = c.loop.poller.modify(c.fd, c.generation, !c.paused, c.opening || len(c.unsent) > 0)
	}
}

func (c *Conn) end(err error) {
	if !c.closed {
		c.Close()
		c.handler.Closed(c, err)
	}
}

func (c *Conn) serve(e event) {
	if c.opening {
		if err := connectError(c.fd); err != nil {
			c.end(err)
			return
		}
		c.opening = false
		c.interest()
		c.handler.Opened(c)
		return
	}
	if e.writable && len(c.unsent) > 0 {
		n, err := write(c.fd, c.unsent)
		if err != nil {
			c.end(err)
			return
		}
		if c.unsent = c.unsent[n:]; len(c.unsent) == 0 {
			c.unsent = nil
			c.interest()
		}
	}
	switch {
	case e.broken && c.paused:
		c.end(brokenError(c.fd))
	case e.readable && !c.closed && !c.paused:
		c.receive()
	}
}

// receive reads once. A connection with unused bytes reads behind them; all others share one
// buffer.
func (c *Conn) receive() {
	buffer, have := c.loop.buffer, len(c.rest)
	if have > 0 {
		if cap(c.rest)-have < readSize/4 {
			c.rest = append(make([]byte, 0, 2*have+readSize/4), c.rest...)
		}
		buffer = c.rest[:cap(c.rest)]
	}
	n, err := read(c.fd, buffer[have:])
	switch {
	case err != nil:
		c.end(err)
		return
	case n < 0: // there is nothing to read
		return
	case n == 0:
		c.end(io.EOF)
		return
	}
	got := buffer[:have+n]
	used := c.handler.Data(c, got)
	switch {
	case c.closed || used == len(got):
		c.rest = nil
	case have == 0:
		c.rest = append([]byte(nil), got[used:]...)
	default:
		c.rest = got[:copy(got, got[used:])]
	}
}

// timer is a call at a time.
type timer struct {
	at    time.Duration
	order uint64
	f     func()
}

// timers is a heap, the earliest first.
type timers []timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].order < t[j].order
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push is for [heap.Push].
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop is for [heap.Pop].
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	(*t)[len(*t)-1] = timer{}
	*t = (*t)[:len(*t)-1]
	return last
}
