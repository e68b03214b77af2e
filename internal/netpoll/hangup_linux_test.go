package netpoll

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"pushgate/internal/testkit"
)

// watchedPair returns a connection that is watched, on which unread bytes are, and its client.
// calls counts what its function is called.
func watchedPair(t *testing.T, s *Set, network string) (c *Conn, client net.Conn, calls *atomic.Int64) {
	server, client := testkit.Pair(t, network)
	c, calls = s.Hold(server), new(atomic.Int64)
	watched := make(chan struct{})
	client.Write([]byte("unread"))
	c.Serve(func() bool {
		c.WatchHangUp(func() { calls.Add(1) })
		close(watched)
		return false
	})
	<-watched
	return c, client, calls
}

// barrier waits until the poller has handled all events that were there before.
func barrier(t *testing.T, s *Set, network string) {
	server, client := testkit.Pair(t, network)
	p := serve(t, s, server)
	client.Write([]byte("x"))
	testkit.Eventually(t, "another connection is read", func() bool { return p.bytes.Load() == 1 })
	client.Close()
	<-p.ended
	p.Close()
}

func TestHangUpIsNoticedOverUnreadBytes(t *testing.T) {
	for _, kind := range []string{"tcp", "unix"} {
		var running sync.WaitGroup
		s := New(running.Go)

		c, client, calls := watchedPair(t, s, kind)
		client.Write([]byte("more"))
		barrier(t, s, kind)
		if n := calls.Load(); n != 0 {
			t.Errorf("called %d times because of bytes", n)
		}
		client.Close()
		testkit.Eventually(t, "the client has hung up", func() bool { return calls.Load() == 1 })
		c.Close()

		// The next Serve ends it, and reads what has come.
		c, client, calls = watchedPair(t, s, kind)
		ended := make(chan int, 1)
		total := 0
		c.Serve(func() bool {
			n, err := c.Read(make([]byte, 100))
			if total += n; err != nil {
				ended <- total
			}
			return err == nil
		})
		client.Write([]byte("more"))
		client.Close()
		n := <-ended
		barrier(t, s, kind)
		if n != len("unread"+"more") || calls.Load() != 0 {
			t.Errorf("%d bytes are read, and the function is called %d times", n, calls.Load())
		}
		c.Close()

		// Close ends it.
		c, client, calls = watchedPair(t, s, kind)
		c.Close()
		client.Close()
		barrier(t, s, kind)
		if calls.Load() != 0 || s.Open() != 0 {
			t.Errorf("after Close: %d calls, %d open", calls.Load(), s.Open())
		}
		s.Close()
		running.Wait()
	}
}
