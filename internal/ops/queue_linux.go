package ops

import (
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queuePatience bounds the wait for connections to be accepted.
	queuePatience = time.Second
	queuePause    = time.Millisecond
	// handshake is how long one that has begun may take until its connection is in the queue.
	handshake = 50 * time.Millisecond
)

// closeEmpty closes a listener when all connections in its queue have been accepted by the
// goroutine that does so. The kernel would reset those that are left, and with them requests that
// clients have already sent. A socket that another process may have too is closed at once: that
// resets nothing.
func closeEmpty(l net.Listener) error {
	switch l := l.(type) {
	case *net.TCPListener:
		// When it is deaf, no handshake begins. A client that tries then does so again after a
		// second, and is refused: the listener is closed by then.
		emptyQueue(l, deafen)
	case *net.UnixListener:
		emptyQueue(l, func(syscall.RawConn) { unlink(l) })
	}
	return l.Close()
}

// emptyQueue returns when the queue of l is empty and stays so, or after queuePatience. When hide
// has returned, no client can begin to connect to l.
func emptyQueue(l syscall.Conn, hide func(syscall.RawConn)) {
	raw, err := l.SyscallConn()
	if err != nil {
		return
	}
	awaitEmpty := func(deadline time.Time) {
		for waiting(raw.Control) && time.Now().Before(deadline) {
			time.Sleep(queuePause)
		}
	}
	deadline := time.Now().Add(queuePatience)
	awaitEmpty(deadline)
	hide(raw)
	time.Sleep(handshake)
	awaitEmpty(deadline)
}

// unlink removes the socket file of a listener, which must not do so again when it is closed:
// another process may listen there by then.
func unlink(l *net.UnixListener) {
	l.SetUnlinkOnClose(false)
	_ = os.Remove(l.Addr().String())
}

// deafen drops packets to a listening socket that begin a handshake: those with the flag SYN, in
// the 14th byte of the header of TCP. It lets pass what completes one: its client believes already
// that it is connected. Accepted sockets inherit the filter, and get no such packets. If the system
// refuses the filter, the risk is small.
func deafen(raw syscall.RawConn) {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// waiting reports whether a connection waits to be accepted.
func waiting(control func(func(fd uintptr)) error) (yes bool) {
	_ = control(func(fd uintptr) { // fails if the listener is closed
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		yes = err == nil && n > 0
	})
	return yes
}
