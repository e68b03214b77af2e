package netpoll

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"pushgate/internal/testkit"
)

func (c *Conn) rests() bool { return c.state.Load() == resting }

// TestClaim: a claimed connection is not read until it is served again, here or elsewhere.
func TestClaim(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		server, client := testkit.Pair(t, "tcp")
		defer client.Close()
		p := serve(t, s, server)
		client.Write([]byte("x"))
		testkit.Eventually(t, "it is read", func() bool { return p.bytes.Load() == 1 })
		if s.plain {
			if _, ok := p.Claim(); ok {
				t.Error("claimed, and it is being read")
			}
			p.Close()
			return
		}
		testkit.Eventually(t, "it rests", p.rests)
		poller := s.poller.Load()
		poller.mu.Lock()
		at := p.place
		poller.mu.Unlock()
		conn, ok := p.Claim()
		if !ok || conn != server {
			t.Fatal("not claimed")
		}
		if err := poller.control(syscall.EPOLL_CTL_MOD, at, 0); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("the kernel still watches it: %v", err)
		}
		if _, ok := p.Claim(); ok {
			t.Error("claimed twice")
		}
		client.Write([]byte("y"))
		runtime.Gosched()
		if p.bytes.Load() != 1 {
			t.Error("read by whom it was claimed from")
		}
		p.Serve(p.read)
		testkit.Eventually(t, "it is read again", func() bool { return p.bytes.Load() == 2 })

		testkit.Eventually(t, "it rests", p.rests)
		conn, _ = p.Claim()
		other := New(s.start)
		defer other.Close()
		q := serve(t, other, conn)
		client.Write([]byte("z"))
		testkit.Eventually(t, "it is read elsewhere", func() bool { return q.bytes.Load() == 1 })
		testkit.Eventually(t, "it rests", q.rests)
		conn, _ = q.Claim()
		r := serve(t, s, conn) // where it has been before
		client.Write([]byte("z"))
		testkit.Eventually(t, "it is read where it was", func() bool { return r.bytes.Load() == 1 })
		r.Close()
		if _, ok := r.Claim(); ok {
			t.Error("claimed, and it is closed")
		}
		if p.bytes.Load() != 2 || q.bytes.Load() != 1 {
			t.Error("read by whom it was claimed from")
		}
	})
}

// TestCloseOfClaimed: the caller that has claimed a connection learns of its end by reading.
func TestCloseOfClaimed(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	server, client := testkit.Pair(t, "tcp")
	defer client.Close()
	p := serve(t, s, server)
	if _, ok := p.Claim(); !ok {
		t.Fatal("not claimed")
	}
	p.Close()
	p.Serve(p.read)
	<-p.ended
	s.Close()
	running.Wait()
}

// TestClaimStorm claims connections while they are written to. Each byte is read once, by the owner
// of the connection at that moment, and nothing stays in a table.
func TestClaimStorm(t *testing.T) {
	var running sync.WaitGroup
	sets := [2]*Set{New(running.Go), New(running.Go)}
	var storm sync.WaitGroup
	for range 8 {
		server, client := testkit.Pair(t, "tcp")
		storm.Go(func() { claimOften(t, sets, server, client) })
	}
	storm.Wait()
	for _, s := range sets {
		s.poller.Load().checkEmpty(t)
		s.Close()
	}
	running.Wait()
}

func claimOften(t *testing.T, sets [2]*Set, server, client net.Conn) {
	const rounds = 2000
	var writing sync.WaitGroup
	writing.Go(func() {
		for range rounds {
			client.Write([]byte("x"))
			runtime.Gosched()
		}
	})
	p := serve(t, sets[0], server)
	read, claims := int64(0), 0
	testkit.Eventually(t, "all is read", func() bool {
		if conn, ok := p.Claim(); ok {
			claims++
			if claims%3 == 0 {
				p.Serve(p.read)
			} else {
				read += p.bytes.Load()
				p = serve(t, sets[claims%2], conn)
			}
		}
		return read+p.bytes.Load() == rounds
	})
	writing.Wait()
	p.Close()
	<-p.ended
	client.Close()
	if claims == 0 {
		t.Error("never claimed")
	}
}
