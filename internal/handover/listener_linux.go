package handover

import (
	"net"
	"sync"
	"sync/atomic"
)

// listener is a socket that two processes share for a while.
type listener struct {
	net.Listener
	address   string          // as passed to Succession.Listen
	accepting <-chan struct{} // closed when it is time to accept
	passed    atomic.Bool     // the successor has it: this process accepts nothing any more
	closed    chan struct{}
	once      sync.Once
	closing   sync.Mutex // held to close the socket, or to change whether that removes its file
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
		<-l.closed // this is not a failure of the service, so Accept returns only when it closes
	}
	endProbes(conn)
	return conn, err
}

// endProbes switches off TCP keep-alive, which package net switches on for connections of an
// inherited socket. conn may be nil. Connections of our own sockets have none.
func endProbes(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Fails if the connection is broken, which its first use returns.
		_ = tcp.SetKeepAlive(false)
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

// ownFile sets whether closing the listener removes the file of its unix socket.
func (l *listener) ownFile(yes bool) {
	if unix, ok := l.Listener.(*net.UnixListener); ok {
		l.closing.Lock()
		defer l.closing.Unlock()
		unix.SetUnlinkOnClose(yes)
	}
}

// pass leaves the socket to the successor alone.
func (l *listener) pass() {
	l.passed.Store(true)
	l.Listener.Close()
}
