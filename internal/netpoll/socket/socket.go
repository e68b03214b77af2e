// Package socket reads and writes sockets by system calls that are not announced to Go's scheduler.
//
// This package has everything that pushgate does in a way that Go's runtime does not intend.
//
// What. [Wrap] makes a connection whose Read and Write try recvfrom and sendto with MSG_DONTWAIT by
// syscall.RawSyscall6; the runtime's poller waits, as ever, while the socket is not ready.
// [TryRecv] and [TrySend] are one such try each. [SkipCheck] makes go-redis skip its check of a
// connection to Redis before each command.
//
// Why. Package net announces each system call to the scheduler, since it might block. If the
// process was at rest, that wakes a thread that watches over such calls (sysmon): it naps for 20 µs
// at a time until the process is at rest again. A server that gets a thousand requests a second,
// and is at rest between them, spends a quarter of its processor time on that. A call with
// MSG_DONTWAIT never blocks and needs no watch.
//
// How much. Unicast at 1,000/s, Linux 6.18, Go 1.26, two busy cores, alternating: CPU of edge and
// publisher for each message without a part, as a multiple of what it is with all of them (medians
// of 5 to 8 pairs):
//
//	1.41  all calls announced (unix.Read, unix.Write)
//	1.40  no part; 1.32 if the publisher has one processor
//	1.26  connections to Redis plain, and so checked by go-redis
//	1.18  connections to Redis checked by go-redis
//	1.15  the publisher's connections plain
//	1.15  TryRecv and TrySend announced, which the edge uses
//
// A part that is left out wakes the watching thread for all others too, so one part alone gains
// little. At the highest rate of posts the process is hardly ever at rest, and all parts together
// gain a factor of 1.2. At the highest rate of fan-out the cost without TrySend is 1.6 times as
// much; but a message then waits less, because no processor is held while the kernel sends.
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
