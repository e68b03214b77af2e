package ops

import (
	"net"
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
	emptyQueue(tcp)
	conn, err := net.DialTimeout("tcp", l.Addr().String(), 50*time.Millisecond)
	if err == nil {
		conn.Close()
		t.Error("connected")
	} else if late, ok := err.(net.Error); !ok || !late.Timeout() {
		t.Error(err)
	}
}
