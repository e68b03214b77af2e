package netpoll

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// both runs a test with each kind of set, and waits until the set has ended.
func both(t *testing.T, test func(t *testing.T, s *Set)) {
	for name, make := range map[string]func(func(func())) *Set{"resting": New, "plain": NewPlain} {
		t.Run(name, func(t *testing.T) {
			var running sync.WaitGroup
			s := make(running.Go)
			test(t, s)
			s.Close()
			running.Wait()
		})
	}
}

// peer is a served connection that counts.
type peer struct {
	*Conn
	calls, bytes atomic.Int64
	reading      atomic.Bool
	ended        chan error // one error, at the end
}

func serve(t testing.TB, s *Set, conn net.Conn) *peer {
	p := &peer{Conn: s.Hold(conn), ended: make(chan error, 1)}
	p.Serve(func() bool {
		if p.reading.Swap(true) {
			t.Error("two goroutines read")
		}
		p.calls.Add(1)
		n, err := p.Read(make([]byte, 100))
		p.bytes.Add(int64(n))
		p.reading.Store(false)
		if err != nil {
			p.ended <- err // a second one would block
		}
		return err == nil
	})
	return p
}

func TestConnIsReadWheneverThereIsSomething(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		for _, network := range []string{"tcp", "unix"} {
			server, client := testkit.Pair(t, network)
			client.Write([]byte("early"))
			p := serve(t, s, server)
			for i := range int64(20) {
				testkit.Eventually(t, "it is read", func() bool { return p.bytes.Load() == 5*(i+1) })
				client.Write([]byte("later"))
			}
			client.Close()
			if err := <-p.ended; err != io.EOF {
				t.Errorf("ended with %v", err)
			}
			p.Close()
		}
	})
}

// The caller of Close need not know whether the connection rests: in both states its reader is
// called.
func TestCloseIsHeard(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		for range 100 {
			server, client := testkit.Pair(t, "tcp")
			p := serve(t, s, server)
			if rand.IntN(2) == 0 {
				runtime.Gosched()
			}
			p.Close()
			if err := <-p.ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
			client.Close()
		}
	})
}

func TestConnThatIsClosedBeforeItIsServed(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		server, client := testkit.Pair(t, "tcp")
		defer client.Close()
		conn := s.Hold(server)
		conn.Close()
		ended := make(chan struct{})
		conn.Serve(func() bool { close(ended); return false })
		<-ended
	})
}

// A read function may block in the middle of a message, to wait for the rest of it.
func TestReaderMayBlock(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		server, client := testkit.Pair(t, "tcp")
		conn := s.Hold(server)
		got := make(chan string)
		conn.Serve(func() bool {
			b := make([]byte, 10)
			_, err := io.ReadFull(conn, b)
			if err == nil {
				got <- string(b)
			}
			return err == nil
		})
		for range 10 {
			for _, piece := range []string{"0", "123", "456789"} {
				client.Write([]byte(piece))
				runtime.Gosched()
			}
			if whole := <-got; whole != "0123456789" {
				t.Errorf("got %q", whole)
			}
		}
		client.Close()
		conn.Close()
	})
}

// After Close of the set, its connections are still served, each by its own goroutine.
func TestSetIsClosedBeforeItsConnections(t *testing.T) {
	both(t, func(t *testing.T, s *Set) {
		resting, client := testkit.Pair(t, "tcp")
		p := serve(t, s, resting)
		client.Write([]byte("x"))
		testkit.Eventually(t, "it is read", func() bool { return p.bytes.Load() == 1 })
		s.Close()
		fresh, late := testkit.Pair(t, "tcp")
		q := serve(t, s, fresh)
		late.Write([]byte("x"))
		testkit.Eventually(t, "the late one is read", func() bool { return q.bytes.Load() == 1 })
		for _, c := range []io.Closer{p, q, client, late} {
			c.Close()
		}
	})
}

// TestStorm opens, wakes and closes many connections at a time, from both ends, so that descriptors
// are reused at once. Each connection must get all its bytes and one end, and none of another's.
func TestStorm(t *testing.T) {
	const workers, rounds = 8, 400
	both(t, func(t *testing.T, s *Set) {
		var storm sync.WaitGroup
		for worker := range workers {
			storm.Go(func() {
				random := rand.New(rand.NewPCG(uint64(worker), 7))
				for range rounds {
					server, client := testkit.Pair(t, "tcp")
					sent := int64(0)
					send := func() {
						m := 1 + random.IntN(300)
						client.Write(make([]byte, m))
						sent += int64(m)
					}
					if random.IntN(3) == 0 {
						send()
					}
					p := serve(t, s, server)
					for range random.IntN(4) {
						send()
						if random.IntN(2) == 0 {
							testkit.Eventually(t, "all is read", func() bool { return p.bytes.Load() == sent })
						}
					}
					switch random.IntN(4) {
					case 0: // closed here, perhaps while it wakes
						send()
						p.Close()
						<-p.ended
						client.Close()
						continue
					case 1: // from both ends at once
						var ends sync.WaitGroup
						ends.Go(func() { client.Close() })
						ends.Go(func() { p.Close() })
						<-p.ended
						ends.Wait()
						continue
					case 2:
						client.(*net.TCPConn).CloseWrite()
					default:
						client.Close()
					}
					if err := <-p.ended; err != io.EOF || p.bytes.Load() != sent {
						t.Errorf("ended with %v after %d bytes of %d", err, p.bytes.Load(), sent)
					}
					p.Close()
					client.Close()
				}
			})
		}
		storm.Wait()
	})
}

// A connection without a descriptor has a goroutine, also in a bubble, where nothing else would
// wake it.
func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		s := New(running.Go)
		server, client := net.Pipe()
		p := serve(t, s, server)
		time.Sleep(time.Hour)
		client.Write([]byte("x"))
		synctest.Wait()
		if p.bytes.Load() != 1 {
			t.Error("not read")
		}
		p.Close()
		<-p.ended
		s.Close()
		running.Wait()
	})
}

// notifier is a pipe that implements [Notifier].
type notifier struct {
	net.Conn
	notify chan func()
}

func (n *notifier) NotifyReadable(f func()) { n.notify <- f }

func TestNotifier(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	server, client := net.Pipe()
	n := &notifier{server, make(chan func(), 1)}
	p := serve(t, s, n)
	for i := range int64(3) {
		ready := <-n.notify
		if p.calls.Load() != i {
			t.Error("read before it was notified")
		}
		running.Go(func() { client.Write([]byte("x")) })
		ready()
	}
	<-n.notify
	p.Close()
	if err := <-p.ended; err != io.ErrClosedPipe {
		t.Errorf("ended with %v", err)
	}
	s.Close()
	running.Wait()
}
