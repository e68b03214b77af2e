package handover

import (
	"net"
	"sync"
	"sync/atomic"
)

// listener is a socket that two processes share for a while.
type listener struct {
	net.Listener
	address   string          // as it was asked for
	accepting <-chan struct{} // closed when it is time to accept
	passed    atomic.Bool     // to the successor: nothing is accepted here any more
	closed    chan struct{}
	once      sync.Once
	closing   sync.Mutex // as that of a Succession
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.accepting:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil && l.passed.Load() {
		<-l.closed // it is no failure of the service
	}
	endProbes(conn)
	return conn, err
}

// endProbes takes from a connection, if there is one, the keep-alive that net gives to all that come by a socket of the predecessor. Those of our own
// sockets have none.
func endProbes(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(false) // an error: it is broken, as its first use will tell
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.passed.Load() {
		return nil
	}
	l.closing.Lock()
	defer l.closing.Unlock()
	return l.Listener.Close()
}

// own says whether the file of a unix socket goes with it.
func (l *listener) own(yes bool) {
	if unix, ok := l.Listener.(*net.UnixListener); ok {
		l.closing.Lock()
		defer l.closing.Unlock()
		unix.SetUnlinkOnClose(yes)
	}
}

// pass has the socket be the successor's alone.
func (l *listener) pass() {
	l.passed.Store(true)
	l.Listener.Close()
}
