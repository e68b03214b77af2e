package ops

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queuePatience bounds the wait for connections to be accepted.
	queuePatience = time.Second
	queuePause    = time.Millisecond
)

// closeEmpty closes a listener when all connections in its queue have been accepted by the
// goroutine that does so. The kernel would reset those that are left, and with them requests that
// clients have already sent. A socket that another process may have too is closed at once: that
// resets nothing.
func closeEmpty(l net.Listener) error {
	if tcp, ok := l.(*net.TCPListener); ok {
		emptyQueue(tcp)
	}
	return l.Close()
}

// emptyQueue returns when the queue is empty and stays so, or after queuePatience.
func emptyQueue(l *net.TCPListener) {
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
	// From here on no handshake is completed. A client that begins one now tries again after a
	// second, and is refused: the listener is closed by then.
	_ = raw.Control(func(fd uintptr) { _ = deafen(int(fd)) }) // without it, the risk is small
	awaitEmpty(deadline)
}

// deafen drops all packets to a listening socket.
func deafen(fd int) error {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
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
