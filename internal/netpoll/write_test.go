package netpoll

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"pushgate/internal/testkit"
)

// A write that does not fit into the socket is finished later. It arrives whole: no other write
// gets into it.
func TestTryWrite(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		for name, pair := range pairs(t) {
			t.Run(name, func(t *testing.T) {
				server, client := pair()
				c := s.Hold(server)
				var want bytes.Buffer
				var got []byte
				var all sync.WaitGroup
				piece := bytes.Repeat([]byte("a"), 100_000)
				var finish func() error
				for i := 0; finish == nil; i++ {
					if i == 1000 {
						t.Fatal("a socket that is not read takes everything")
					}
					want.Write(piece)
					finish = c.TryWrite(piece)
				}
				other := []byte("other")
				want.Write(other)
				again := c.TryWrite(other)
				if again == nil {
					t.Fatal("written in the middle of something else")
				}
				all.Go(func() {
					if err := again(); err != nil {
						t.Error(err)
					}
					c.Close()
				})
				all.Go(func() { got, _ = io.ReadAll(client) })
				if err := finish(); err != nil {
					t.Error(err)
				}
				all.Wait()
				if !bytes.Equal(got, want.Bytes()) {
					t.Errorf("%d bytes came, of %d, or others", len(got), want.Len())
				}
			})
		}
	})
}

// pairs returns functions that make connections of all kinds: sockets and others.
func pairs(t *testing.T) map[string]func() (server, client net.Conn) {
	return map[string]func() (server, client net.Conn){
		"tcp":  func() (server, client net.Conn) { return testkit.Pair(t, "tcp") },
		"unix": func() (server, client net.Conn) { return testkit.Pair(t, "unix") },
		"pipe": net.Pipe,
	}
}

// A writer that waits gets an error when either side closes the connection.
func TestTryWriteEnds(t *testing.T) {
	for name, end := range map[string]func(c *Conn, client net.Conn){
		"closed here":     func(c *Conn, client net.Conn) { c.Close() },
		"reset by a peer": func(c *Conn, client net.Conn) { client.(*net.TCPConn).SetLinger(0); client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := testkit.Pair(t, "tcp")
			defer client.Close()
			c := New(nil).Hold(server)
			defer c.Close()
			finish := c.TryWrite(make([]byte, 64<<20))
			if finish == nil {
				t.Fatal("all was written")
			}
			ended := make(chan error)
			go func() { ended <- finish() }()
			end(c, client)
			if err := <-ended; err == nil {
				t.Error("no error")
			}
			if finish := c.TryWrite([]byte("x")); finish == nil {
				t.Error("written after the end")
			} else if err := finish(); !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
		})
	}
}
