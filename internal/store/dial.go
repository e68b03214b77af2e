package store

import (
	"context"
	"net"
	"syscall"
	"time"

	"pushgate/internal/socket"
)

// keepAlive is how often a connection at rest shows that it lives, as go-redis has it.
const keepAlive = 5 * time.Minute

// dialer gives what makes connections to Redis.
func dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: keepAlive}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c = socket.Wrap(c)
		if s, ok := c.(syscall.Conn); ok {
			if raw, err := s.SyscallConn(); err == nil {
				return looked{c, raw}, nil
			}
		}
		return c, nil
	}
}

// looked is a connection that go-redis looks at before each command, whether it still lives.
type looked struct {
	net.Conn
	raw syscall.RawConn
}

// SyscallConn implements [syscall.Conn], for the look alone.
func (c looked) SyscallConn() (syscall.RawConn, error) { return look{c.raw}, nil }

// look is a raw connection that lets nobody look who would see nothing: go-redis does it by a call that the scheduler is told of.
type look struct{ syscall.RawConn }

// Read implements [syscall.RawConn], but does not call f, and returns, if the connection lives and there is nothing to be read.
func (l look) Read(f func(fd uintptr) bool) error {
	if socket.Quiet(l.RawConn) {
		return nil
	}
	return l.RawConn.Read(f)
}
