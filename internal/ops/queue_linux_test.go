package ops

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// TestNoHandshakeIsCompletedAfterTheLook: between the last look at the queue and the close, nobody
// gets a connection that the close would reset.
func TestNoHandshakeIsCompletedAfterTheLook(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		t.Fatalf("a listener of TCP is a %T", l)
	}
	emptyQueue(tcp, deafen)
	conn, err := net.DialTimeout("tcp", l.Addr().String(), 50*time.Millisecond)
	if err == nil {
		conn.Close()
		t.Error("connected")
	} else if late, ok := err.(net.Error); !ok || !late.Timeout() {
		t.Error(err)
	}
}

// TestSocketFileOfASuccessorIsKept: a process that listens at the same path, while the listener
// waits for what is left in its queue, keeps its socket file.
func TestSocketFileOfASuccessorIsKept(t *testing.T) {
	address := "unix:" + t.TempDir() + "/socket"
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var successor net.Listener
	emptyQueue(l.(*net.UnixListener), func(syscall.RawConn) {
		unlink(l.(*net.UnixListener))
		successor, err = Listen(address)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	l.Close()
	conn, err := net.Dial("unix", successor.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
