package netpoll

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// Read returns available bytes at once, waits for others, and reports the end like any connection.
func TestRead(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		for name, pair := range pairs(t) {
			t.Run(name, func(t *testing.T) {
				server, client := pair()
				c := s.Hold(server)
				defer c.Close()
				b := make([]byte, 100)
				go io.WriteString(client, "one")
				if n, err := io.ReadAtLeast(c, b, 3); err != nil || string(b[:n]) != "one" {
					t.Errorf("%q, %v", b[:n], err)
				}
				c.SetReadDeadline(time.Now().Add(-time.Second))
				var late net.Error
				if n, err := c.Read(b); !errors.As(err, &late) || !late.Timeout() {
					t.Errorf("after its deadline: %d bytes, %v", n, err)
				}
				c.SetReadDeadline(time.Time{})
				go client.Close()
				if n, err := c.Read(b); n != 0 || err != io.EOF {
					t.Errorf("at the end: %d bytes, %v", n, err)
				}
				c.Close()
				if n, err := c.Read(b); n != 0 || err == nil || !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after it was closed: %d bytes, %v", n, err)
				}
			})
		}
	})
}

// TestReadAfterItsDeadline: an expired deadline counts even if there are bytes to read. Otherwise a
// deadline could not stop a client that sends all the time. The bytes are not lost.
func TestReadAfterItsDeadline(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := New(func(f func()) { go f() })
			defer s.Close()
			server, client := testkit.Pair(t, network)
			c := s.Hold(server)
			defer c.Close()
			if _, err := io.WriteString(client, "one"); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			if n, err := c.Read(b[:1]); n != 1 || err != nil { // so that the others are there, too
				t.Fatalf("%d bytes, %v", n, err)
			}
			c.SetReadDeadline(time.Now().Add(-time.Second))
			var late net.Error
			if n, err := c.Read(b); n != 0 || !errors.As(err, &late) || !late.Timeout() {
				t.Errorf("after the deadline: %d bytes, %v", n, err)
			}
			c.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := c.Read(b); string(b[:n]) != "ne" || err != nil {
				t.Errorf("before the next one: %q, %v", b[:n], err)
			}
		})
	}
}

// net/http decides by the operation of an error whether the client has closed the connection.
func TestReadOfAConnectionThatWasReset(t *testing.T) {
	s := New(func(f func()) { go f() })
	defer s.Close()
	server, client := testkit.Pair(t, "tcp")
	c := s.Hold(server)
	defer c.Close()
	client.(*net.TCPConn).SetLinger(0)
	client.Close()
	_, err := c.Read(make([]byte, 1))
	var failed *net.OpError
	if !errors.As(err, &failed) || failed.Op != "read" || !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v", err)
	}
}
