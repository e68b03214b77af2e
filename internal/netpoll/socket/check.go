package socket

import (
	"net"
	"syscall"
)

// SkipCheck returns a connection that does the same as c, except that Read of its SyscallConn
// returns nil without calling its function as long as the connection is open and nothing has come.
// go-redis makes such a read before each command to check whether the connection is alive, and the
// system call is announced to the scheduler. A connection without a descriptor is returned as it
// is.
func SkipCheck(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	return unchecked{c, quietConn{raw}}
}

type unchecked struct {
	net.Conn
	raw quietConn
}

// SyscallConn implements [syscall.Conn].
func (c unchecked) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

type quietConn struct{ syscall.RawConn }

// Read implements [syscall.RawConn].
func (c quietConn) Read(f func(fd uintptr) bool) error {
	if Quiet(c.RawConn) {
		return nil
	}
	return c.RawConn.Read(f)
}
