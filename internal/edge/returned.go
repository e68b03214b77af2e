package edge

import (
	"net"
	"sync"
	"sync/atomic"

	"pushgate/internal/netpoll"
)

// giveBack has net/http serve a connection, of which the next request has been read so far.
func (e *Edge) giveBack(conn *netpoll.Conn, early []byte) {
	e.ceiling.apart.Add(-1)
	e.returned.offer(&returnedConn{conn, early})
}

// returnedConn is a connection that net/http has after us, and of which something has been read.
type returnedConn struct {
	*netpoll.Conn
	early []byte // owned by the reader
}

// Read implements [net.Conn].
func (c *returnedConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// returned is a listener that accepts connections that are not for us after all.
type returned struct {
	conns  chan net.Conn // never closed
	closed chan struct{}
	once   sync.Once
	used   atomic.Bool
}

func newReturned() *returned {
	return &returned{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// served reports whether anybody accepts.
func (l *returned) served() bool { return l.used.Load() }

// offer gives a connection to whoever accepts.
func (l *returned) offer(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.closed:
		conn.Close()
	}
}

// Accept implements [net.Listener].
func (l *returned) Accept() (net.Conn, error) {
	l.used.Store(true)
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *returned) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *returned) Addr() net.Addr { return &net.UnixAddr{Name: "returned", Net: "unix"} }
