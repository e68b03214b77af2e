//go:build linux && !386 && !s390x

package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Wrap returns a connection that does the same as c, if c is a socket of TCP or a unix socket. c
// itself must not be read or written any more. Like c, it may be used concurrently. Any other
// connection is returned as it is.
func Wrap(c net.Conn) net.Conn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return c
	}
	s := c.(stream)
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	w := &conn{stream: s, raw: raw}
	w.in.try, w.out.try = w.in.receive, w.out.send
	return w
}

// conn is a wrapped connection.
type conn struct {
	stream
	raw     syscall.RawConn // immutable
	in, out half
}

// half is one direction of a connection.
type half struct {
	try func(fd uintptr) bool // immutable: one step, false if the socket is not ready for it

	mu   sync.Mutex // held during a Read, or a Write
	rest []byte     // to be filled, or written
	done int
	err  syscall.Errno
}

// maxSend bounds the bytes of one call: its thread can do nothing else meanwhile.
const maxSend = 64 << 10

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.move(b, "read", c.raw.Read)
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) { return c.out.move(b, "write", c.raw.Write) }

// move moves b in steps, until a step reports that it was the last. wait calls its argument
// whenever the socket may be ready.
func (h *half) move(b []byte, op string, wait func(func(fd uintptr) bool) error) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rest, h.done, h.err = b, 0, 0
	err := wait(h.try)
	h.rest = nil
	if err != nil {
		return h.done, named(op, err)
	}
	if h.err != 0 {
		return h.done, &net.OpError{Op: op, Err: os.NewSyscallError(op, h.err)}
	}
	return h.done, nil
}

// named replaces the operation in an error of a raw connection by that of net's errors. net/http
// decides by the operation whether the client is at fault.
func named(op string, err error) error {
	if failed, ok := err.(*net.OpError); ok {
		failed.Op = op
	}
	return err
}

// receive reads what there is.
func (h *half) receive(fd uintptr) bool {
	if len(h.rest) == 0 {
		return true
	}
	n, errno := call(syscall.SYS_RECVFROM, fd, h.rest, syscall.MSG_DONTWAIT)
	if errno == syscall.EAGAIN {
		return false
	}
	h.done, h.err = n, errno
	return true
}

// send writes as much as there is room for, and is done when all is written.
func (h *half) send(fd uintptr) bool {
	for len(h.rest) > 0 {
		n, errno := call(syscall.SYS_SENDTO, fd, h.rest[:min(len(h.rest), maxSend)], syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			h.err = errno
			return true
		}
		h.done += n
		h.rest = h.rest[n:]
	}
	return true
}

// call calls recvfrom or sendto without an address, with flags that keep it from blocking. b is not
// empty.
func call(what, fd uintptr, b []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(what, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// TrySend writes what a socket takes at once, which may be nothing, and returns the number of
// bytes: at most 64 KiB. The descriptor must not be closed meanwhile. An error is an
// *[os.SyscallError].
func TrySend(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, errno := call(syscall.SYS_SENDTO, fd, b[:min(len(b), maxSend)], syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	switch errno {
	case 0, syscall.EAGAIN:
		return n, nil
	default:
		return 0, os.NewSyscallError("write", errno)
	}
}

// TryRecv reads what a socket has, and reports false if there is nothing yet. The descriptor must
// not be closed meanwhile. An error is [io.EOF] or an *[os.SyscallError].
func TryRecv(fd uintptr, b []byte) (n int, ok bool, err error) {
	if len(b) == 0 {
		return 0, true, nil
	}
	n, errno := call(syscall.SYS_RECVFROM, fd, b, syscall.MSG_DONTWAIT)
	switch {
	case errno == syscall.EAGAIN:
		return 0, false, nil
	case errno != 0:
		return 0, true, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, true, io.EOF
	default:
		return n, true, nil
	}
}

// Quiet reports whether a socket is open at both ends and has nothing to read. It does not wait.
func Quiet(raw syscall.RawConn) bool {
	quiet := false
	err := raw.Control(func(fd uintptr) {
		var b [1]byte
		_, errno := call(syscall.SYS_RECVFROM, fd, b[:], syscall.MSG_DONTWAIT|syscall.MSG_PEEK)
		quiet = errno == syscall.EAGAIN
	})
	return err == nil && quiet
}
