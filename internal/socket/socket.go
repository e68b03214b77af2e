// Package socket has connections whose reads and writes the scheduler is not told of.
//
// The net package announces every system call to Go's scheduler, since it might block. If the process was at rest, that wakes a thread whose
// business is to watch over such calls (sysmon): it naps for 20 µs at a time until the process is at rest again, and sleeps. A server that gets a
// thousand requests a second, and is at rest between them, spends half of its thread switches on that. A socket that is only asked for what it has,
// or told what it has room for, never blocks, and needs no watch; the wait until it has more is the poller's, as ever.
package socket

import (
	"net"
	"syscall"
)

// Listener gives connections that [Wrap] has wrapped.
type Listener struct{ net.Listener }

// Accept implements [net.Listener].
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Wrap(c), nil
}

// stream is what a connection must have to be wrapped: those of TCP and of unix sockets have it.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}
