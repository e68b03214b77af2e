// Package socket reads and writes sockets by system calls that are not announced to Go's scheduler.
//
// This package has everything that pushgate does in a way that Go's runtime does not intend.
//
// What. [Wrap] makes a connection whose Read and Write try recvfrom and sendto with MSG_DONTWAIT by
// syscall.RawSyscall6; the runtime's poller waits, as ever, while the socket is not ready.
// [TryRecv] and [TrySend] are one such try each. [SkipCheck] makes go-redis skip its check of a
// connection to Redis before each command.
//
// Why. Package net announces each system call to the scheduler, since it might block. A call with
// MSG_DONTWAIT never blocks, so that the announcement, and what the runtime does because of it, is
// work for nothing.
//
// How much. Measured once: posts of one message to one subscriber, 1,000 a second, Linux 6.18, Go
// 1.26, two busy cores. Builds with and without a part ran in turns, in 5 to 8 pairs; this is the
// median of the processor time of edge and publisher for each message without the part, as a
// multiple of that with all parts:
//
//	1.41  all calls announced (unix.Read, unix.Write)
//	1.40  no part; 1.32 if the publisher has one processor
//	1.26  connections to Redis plain, and so checked by go-redis
//	1.18  connections to Redis checked by go-redis
//	1.15  the publisher's connections plain
//	1.15  TryRecv and TrySend announced, which the edge uses
//
// The parts do not add up. The figures say nothing of other rates, of other machines, or of how
// long a message waits.
//
// What breaks if Go changes. A call that blocked would hold a processor, and with it the garbage
// collector. So each call has MSG_DONTWAIT and a bound on its bytes. If Go watches system calls in
// another way, the gain is lost, but nothing fails. If RawSyscall6 is removed, use the calls of
// golang.org/x/sys/unix instead, at the price above; systems other than Linux do without already.
// If go-redis changes its check so that a skipped one looks like a dead connection, it replaces
// connections all the time: then remove SkipCheck.
package socket

import (
	"net"
	"syscall"
)

// Listener accepts connections and wraps them by [Wrap].
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
