package netpoll

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// wakeups is how many connections are woken after one call of epoll_wait, at most.
const wakeups = 128

// poller is an epoll set of our own. The Go runtime has the same descriptors in its own set, and
// also the descriptor of ours, so no thread waits for ours.
type poller struct {
	file *os.File // the epoll set
	raw  syscall.RawConn

	mu          sync.Mutex // guards Conn.place, too
	conns       []*Conn    // by descriptor
	generations uint32     // the last one that was used
}

// place is where a connection is in a poller. The generation distinguishes it from an earlier
// connection with the same descriptor, because an event may still be under way when a descriptor is
// closed. Generation 0 means that the connection is not there.
type place struct {
	fd         int32
	generation uint32
}

// descriptor returns the socket of conn; nil if conn is more than a socket: a layer above may have
// buffered bytes, which cause no event of the kernel.
func descriptor(conn net.Conn) syscall.RawConn {
	switch conn := conn.(type) {
	case *net.TCPConn:
		return raw(conn.SyscallConn())
	case *net.UnixConn:
		return raw(conn.SyscallConn())
	}
	return nil
}

func raw(socket syscall.RawConn, err error) syscall.RawConn {
	if err != nil {
		return nil
	}
	return socket
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else the runtime does not poll it
		syscall.Close(fd)
		return nil, err
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	p.raw, err = p.file.SyscallConn()
	// A deadline can only be set if the runtime polls the descriptor.
	if err := errors.Join(err, p.file.SetReadDeadline(time.Time{})); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// close ends run.
func (p *poller) close() { p.file.Close() }

// run wakes connections until p is closed.
func (p *poller) run() {
	var events [wakeups]syscall.EpollEvent
	var woken [wakeups]*Conn
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		if err != nil {
			return
		}
		ready := p.find(events[:max(n, 0)], woken[:0])
		for _, c := range ready {
			c.wake()
		}
		clear(ready)
	}
}

// find appends the connections that events are about. It skips events of earlier generations.
func (p *poller) find(events []syscall.EpollEvent, ready []*Conn) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		if c := p.conns[e.Fd]; c != nil && c.place.generation == uint32(e.Pad) {
			ready = append(ready, c)
		}
	}
	return ready
}

// arm arranges that c is woken once, by the next such event on its socket, or at once if there has
// been one already. It is called by one goroutine at a time.
func (p *poller) arm(c *Conn, on event) error {
	events := uint32(syscall.EPOLLRDHUP | syscall.EPOLLONESHOT) // besides EPOLLHUP and EPOLLERR
	if on == whenReadable {
		events |= syscall.EPOLLIN
	}
	var err error
	controlled := c.socket.Control(func(fd uintptr) { // which is not closed meanwhile
		at, op := p.enter(c, int32(fd))
		err = p.control(op, at, events)
	})
	return errors.Join(controlled, err)
}

// control calls epoll_ctl. The data of an event is 64 bits; package syscall calls the upper half
// Pad.
func (p *poller) control(op int, at place, events uint32) error {
	var err error
	event := syscall.EpollEvent{Events: events, Fd: at.fd, Pad: int32(at.generation)}
	controlled := p.raw.Control(func(fd uintptr) { err = syscall.EpollCtl(int(fd), op, int(at.fd), &event) })
	return errors.Join(controlled, err)
}

// enter returns the place of c and the operation for epoll_ctl: to add it, if it is new.
func (p *poller) enter(c *Conn, fd int32) (at place, op int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.place.generation != 0 {
		return c.place, syscall.EPOLL_CTL_MOD
	}
	for int(fd) >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, len(p.conns)+64)...)
	}
	if p.generations++; p.generations == 0 {
		p.generations = 1
	}
	c.place = place{fd, p.generations}
	p.conns[fd] = c
	return c.place, syscall.EPOLL_CTL_ADD
}

// release removes c from the table, if it is there, and from the kernel's set, which would watch
// the socket as long as any process has it open.
func (p *poller) release(c *Conn) {
	if was := p.forget(c); was.generation != 0 {
		// An error says that it is closed, and so has been removed.
		_ = c.socket.Control(func(uintptr) { _ = p.control(syscall.EPOLL_CTL_DEL, was, 0) })
	}
}

// forget removes c from the table, and returns the place that it had, or the zero value. The kernel
// removes a descriptor by itself when it is closed.
func (p *poller) forget(c *Conn) (was place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, c.place = c.place, place{}
	if was.generation != 0 && p.conns[was.fd] == c {
		p.conns[was.fd] = nil
	}
	return was
}
