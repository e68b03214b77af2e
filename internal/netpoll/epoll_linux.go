package netpoll

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// wakeups is how many connections are woken by one look at the kernel's list, at most.
const wakeups = 128

// poller is an epoll set of our own, beside that of the Go runtime, in which the same descriptors are. Its own descriptor is in the
// runtime's, so that no thread waits for it either.
type poller struct {
	file *os.File // the epoll set
	raw  syscall.RawConn

	mu          sync.Mutex // guards the places of all connections, too
	conns       []*Conn    // by descriptor
	generations uint32     // that have been given out
}

// place is where a connection stands in a poller. The generation tells it from whoever had the same descriptor before: an event may be
// on its way already when a descriptor is closed. 0 means that it is not there.
type place struct {
	fd         int32
	generation uint32
}

// descriptor gives the socket that conn is; nil if there is anything besides: what a layer above it may have buffered would never wake
// anybody.
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
	if err := syscall.SetNonblock(fd, true); err != nil { // so that the runtime takes it in
		syscall.Close(fd)
		return nil, err
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	p.raw, err = p.file.SyscallConn()
	if err := errors.Join(err, p.file.SetReadDeadline(time.Time{})); err != nil { // the runtime has not taken it in
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

// find appends the connections that events are about, but for those of an earlier generation.
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

// arm has c woken by the next thing that happens on its socket, once; what has happened already counts. It is called by one goroutine
// at a time.
func (p *poller) arm(c *Conn) error {
	var err error
	controlled := c.socket.Control(func(fd uintptr) { // which is not closed meanwhile
		at, op := p.enter(c, int32(fd))
		err = p.control(op, at)
	})
	return errors.Join(controlled, err)
}

// control tells the kernel. The data of an event is 64 bits, of which the syscall package calls the upper half padding.
func (p *poller) control(op int, at place) error {
	var err error
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: at.fd, Pad: int32(at.generation)}
	controlled := p.raw.Control(func(fd uintptr) { err = syscall.EpollCtl(int(fd), op, int(at.fd), &event) })
	return errors.Join(controlled, err)
}

// enter gives c its place, and what to do about it: add it, if it has not been there before.
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

// release takes c out of the table, if it is there, and of the kernel's set, which watches a socket for as long as any process has it open.
func (p *poller) release(c *Conn) {
	if was := p.forget(c); was.generation != 0 {
		_ = c.socket.Control(func(uintptr) { _ = p.control(syscall.EPOLL_CTL_DEL, was) }) // an error: it is closed
	}
}

// forget takes c out of the table, and gives the place that it had there, or the zero value. The kernel forgets it by itself when the
// descriptor is closed.
func (p *poller) forget(c *Conn) (was place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, c.place = c.place, place{}
	if was.generation != 0 && p.conns[was.fd] == c {
		p.conns[was.fd] = nil
	}
	return was
}
