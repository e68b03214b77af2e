package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// event is what the kernel reports of one connection.
type event struct {
	fd                         int
	generation                 uint32
	readable, writable, broken bool
}

// poller is an epoll set with a timer in it, because epoll itself waits in whole milliseconds.
type poller struct {
	epoll, timer int
	generation   uint32
	armed        time.Time // when the timer ends
	events       []unix.EpollEvent
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	p := &poller{epoll: epoll, timer: timer, events: make([]unix.EpollEvent, maxEvents)}
	if err := p.add(timer, 0); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	unix.Close(p.timer)
	unix.Close(p.epoll)
}

// next returns the mark of a new connection; 0 is the timer's.
func (p *poller) next() uint32 {
	if p.generation++; p.generation == 0 {
		p.generation = 1
	}
	return p.generation
}

// add begins to watch a descriptor whose connection is not established yet.
func (p *poller) add(fd int, generation uint32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, generation, true, generation != 0)
}

func (p *poller) modify(fd int, generation uint32, read, write bool) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, generation, read, write)
}

func (p *poller) control(op, fd int, generation uint32, read, write bool) error {
	e := unix.EpollEvent{Fd: int32(fd), Pad: int32(generation)}
	if read {
		e.Events |= unix.EPOLLIN
	}
	if write {
		e.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.epoll, op, fd, &e)
}

// wait returns how many events there are in ready.
func (p *poller) wait(ready []event, d time.Duration) (n int, err error) {
	block := 0
	if d > 0 {
		block = -1
		if err := p.arm(time.Now(), d); err != nil {
			return 0, err
		}
	}
	got, err := raw(unix.SYS_EPOLL_PWAIT, p.epoll, unsafe.Pointer(unsafe.SliceData(p.events)), len(p.events), block)
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("epoll: %w", err)
	}
	for _, e := range p.events[:got] {
		if e.Pad == 0 {
			var expirations [8]byte
			_, _ = unix.Read(p.timer, expirations[:]) // the value is of no use
			p.armed = time.Time{}
			continue
		}
		ready[n] = event{
			fd: int(e.Fd), generation: uint32(e.Pad),
			readable: e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			writable: e.Events&unix.EPOLLOUT != 0,
			broken:   e.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
		}
		n++
	}
	return n, nil
}

// arm sets the timer to end a wait. A timer that ends earlier is left as it is: that saves a
// system call for most waits.
func (p *poller) arm(now time.Time, d time.Duration) error {
	if end := now.Add(d); p.armed.Before(now) || end.Before(p.armed) {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
		if err := unix.TimerfdSettime(p.timer, 0, &spec, nil); err != nil {
			return fmt.Errorf("timerfd: %w", err)
		}
		p.armed = end
	}
	return nil
}

// dial begins a connection. Its source gets a port only when its destination is known,
// so that each pair of addresses has all ports.
func dial(to netip.AddrPort, from netip.Addr) (fd int, err error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// See Conn.Close.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if from.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
			return 0, fmt.Errorf("bind to %v: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return 0, fmt.Errorf("no free port for a connection to %v: use more sources", to)
		}
		return 0, fmt.Errorf("connect to %v: %w", to, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// connectError returns the outcome of a connection attempt.
func connectError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// brokenError returns why a connection that is not being read has ended.
func brokenError(fd int) error {
	if err := connectError(fd); err != nil {
		return err
	}
	return unix.ECONNRESET
}

// raw makes a system call without notifying the scheduler of Go, which costs as much as a
// short call does. No other goroutine wants the processor. Reads and writes do not block,
// and a wait ends by the signal with which the scheduler asks for a goroutine's attention.
func raw(call uintptr, fd int, p unsafe.Pointer, size, more int) (int, error) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(p), uintptr(size), uintptr(more), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// read returns -1 if there is nothing to read.
func read(fd int, b []byte) (int, error) {
	n, err := raw(unix.SYS_READ, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b), 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return -1, nil
	}
	return n, err
}

// write returns how many bytes the kernel has taken.
func write(fd int, b []byte) (int, error) {
	n, err := raw(unix.SYS_WRITE, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b), 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, err
}

func closeFD(fd int) { unix.Close(fd) }

// Descriptors returns how many descriptors this process may have, after asking for as many as it
// can get.
func Descriptors() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, err
		}
	}
	return limit.Cur, nil
}
