//go:build linux

package loop

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// recorder notes the events that it receives. It consumes whole lines.
type recorder struct {
	opened int
	lines  []string
	ends   []error
	calls  int
}

func (r *recorder) Opened(*Conn) { r.opened++ }
func (r *recorder) Data(_ *Conn, b []byte) int {
	r.calls++
	used := 0
	for {
		i := bytes.IndexByte(b[used:], '\n')
		if i < 0 {
			return used
		}
		r.lines = append(r.lines, string(b[used:used+i]))
		used += i + 1
	}
}
func (r *recorder) Closed(_ *Conn, err error) { r.ends = append(r.ends, err) }

type fixture struct {
	*testing.T
	loop     *Loop
	listener *net.TCPListener
	to       netip.AddrPort
}

func start(t *testing.T) *fixture {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &fixture{t, l, listener, listener.Addr().(*net.TCPAddr).AddrPort()}
}

// dial makes a connection and returns both ends.
func (f *fixture) dial(from netip.Addr, h Handler) (*Conn, *net.TCPConn) {
	f.Helper()
	c, err := f.loop.Dial(f.to, from, h)
	if err != nil {
		f.Fatal(err)
	}
	peer, err := f.listener.AcceptTCP()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { peer.Close() })
	return c, peer
}

func (f *fixture) until(what string, cond func() bool) {
	f.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			f.Fatalf("not in time: %s", what)
		}
		if err := f.loop.Step(10 * time.Millisecond); err != nil {
			f.Fatal(err)
		}
	}
}

func TestDataComesWhole(t *testing.T) {
	f := start(t)
	r := &recorder{}
	_, peer := f.dial(netip.Addr{}, r)
	f.until("open", func() bool { return r.opened == 1 })
	long := bytes.Repeat([]byte("x"), 3*readSize)
	go func() {
		peer.Write([]byte("one\ntwo\nthr"))
		peer.Write([]byte("ee\n"))
		peer.Write(long)
		peer.Write([]byte("\nend\n"))
		peer.Close()
	}()
	f.until("end", func() bool { return len(r.ends) == 1 })
	if len(r.lines) != 5 || r.lines[2] != "three" || len(r.lines[3]) != len(long) || r.lines[4] != "end" {
		t.Errorf("%d lines", len(r.lines))
	}
	if r.ends[0] != io.EOF || f.loop.Open() != 0 {
		t.Errorf("ended with %v, %d open", r.ends[0], f.loop.Open())
	}
}

func TestWriteKeepsWhatTheKernelDoesNotTake(t *testing.T) {
	f := start(t)
	c, peer := f.dial(netip.Addr{}, &recorder{})
	const size = 16 << 20
	c.Write(make([]byte, size)) // before it is open, even
	got := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, peer, size)
		got <- n
	}()
	var n int64
	f.until("all read", func() bool {
		select {
		case n = <-got:
			return true
		default:
			return false
		}
	})
	if n != size {
		t.Errorf("%d bytes of %d", n, size)
	}
}

func TestPausedConnectionIsNotRead(t *testing.T) {
	f := start(t)
	r := &recorder{}
	c, peer := f.dial(netip.Addr{}, r)
	f.until("open", func() bool { return r.opened == 1 })
	c.Pause()
	peer.Write([]byte("late\n"))
	for range 5 {
		f.loop.Step(time.Millisecond)
	}
	if r.calls != 0 {
		t.Error("it was read")
	}
	c.Resume()
	f.until("read", func() bool { return len(r.lines) == 1 })
	c.Pause()
	peer.SetLinger(0)
	peer.Close()
	f.until("the reset is reported", func() bool { return len(r.ends) == 1 })
}

// A descriptor that is closed and reused within one turn must not get the events of the old
// connection.
func TestDescriptorReuse(t *testing.T) {
	f := start(t)
	second := &recorder{}
	var c2 *Conn
	first, other := &swapper{}, &swapper{}
	a, peerA := f.dial(netip.Addr{}, first)
	b, peerB := f.dial(netip.Addr{}, other)
	f.until("open", func() bool { return first.opened+other.opened == 2 })
	swap := func(victim *Conn) func() {
		return func() {
			fd := victim.fd
			victim.Close()
			var err error
			if c2, err = f.loop.Dial(f.to, netip.Addr{}, second); err != nil || c2.fd != fd {
				t.Fatalf("not reused: %v", err)
			}
		}
	}
	first.then, other.then = swap(b), swap(a)
	peerA.Write([]byte("x\n"))
	peerB.Write([]byte("x\n"))
	// The one that is served first takes the other one's descriptor. The event of the other one is
	// not about the new connection.
	f.until("one served", func() bool { return c2 != nil })
	if first.calls+other.calls != 1 || second.opened != 0 {
		t.Errorf("%d and %d calls, and the new connection was opened by %d events of the old one", first.calls, other.calls, second.opened)
	}
	f.until("open", func() bool { return second.opened == 1 })
}

// swapper calls a function when it gets data.
type swapper struct {
	recorder
	then func()
}

func (s *swapper) Data(c *Conn, b []byte) int {
	s.calls++
	s.then()
	return len(b)
}

func TestSources(t *testing.T) {
	f := start(t)
	_, peer := f.dial(netip.MustParseAddr("127.0.0.7"), &recorder{})
	if got := peer.RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.7" {
		t.Errorf("comes from %s", got)
	}
}

func TestRefusedConnectionIsTold(t *testing.T) {
	f := start(t)
	f.listener.Close()
	r := &recorder{}
	if _, err := f.loop.Dial(f.to, netip.Addr{}, r); err != nil {
		t.Fatal(err)
	}
	f.until("told", func() bool { return len(r.ends) == 1 })
	if r.opened != 0 {
		t.Error("opened")
	}
}

func TestTimersRunInOrder(t *testing.T) {
	f := start(t)
	var got []int
	f.loop.At(3*time.Millisecond, func() { got = append(got, 3) })
	f.loop.At(time.Millisecond, func() {
		got = append(got, 1)
		f.loop.At(2*time.Millisecond, func() { got = append(got, 2) })
	})
	f.loop.At(3*time.Millisecond, func() { got = append(got, 4) })
	f.until("all", func() bool { return len(got) == 4 })
	for i, n := range got {
		if n != i+1 {
			t.Fatalf("order %v", got)
		}
	}
}
