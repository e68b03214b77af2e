// Package socket reads and writes sockets by system calls that Go's scheduler does not know of.
//
// All that pushgate does against the habits of Go's runtime is here.
//
// What. [Wrap] makes a connection whose Read and Write try recvfrom and sendto with MSG_DONTWAIT by
// syscall.RawSyscall6; the runtime's poller waits, as ever, while the socket is not ready.
// [TryRecv] and [TrySend] are one such try each. [SkipCheck] spares a connection to Redis the look
// that go-redis takes at it before each command.
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
// A part that is left out wakes the watch for all others, so that one alone is worth little. With
// posts flat out the process is hardly ever at rest, and all parts together are worth 1.2. Fan-out
// flat out costs 1.6 without TrySend; but without it a message waits less, because no processor is
// held while the kernel sends.
//
// What breaks if Go changes. A call that blocked would hold a processor, and the collector with it:
// hence MSG_DONTWAIT in each call, and a bound of the bytes of one. If Go watches in another way,
// the gain is gone and nothing else. If RawSyscall6 goes, use the calls of golang.org/x/sys/unix in
// its place, at the price above; on systems other than Linux everything is plain already. If
// go-redis comes to take a look that shows nothing for a dead connection, it replaces connections
// all the time: give up SkipCheck.
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
