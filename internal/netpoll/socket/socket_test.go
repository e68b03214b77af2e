package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/netpoll/socket"
	"pushgate/internal/testkit"
)

// pair returns both ends of a connection, the first of them wrapped.
func pair(t testing.TB, network string) (wrapped, other net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	wrapped, err = socket.Listener{Listener: l}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wrapped.Close() })
	return wrapped, other
}

func eachNetwork(t *testing.T, f func(t *testing.T, wrapped, other net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			wrapped, other := pair(t, network)
			f(t, wrapped, other)
		})
	}
}

func TestSmallReadsAndWrites(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		for range 100 {
			if n, err := wrapped.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			b := make([]byte, 10)
			if n, err := other.Read(b); string(b[:n]) != "hello" || err != nil {
				t.Fatal(n, err)
			}
			if n, err := other.Write([]byte("well")); n != 4 || err != nil {
				t.Fatal(n, err)
			}
			if n, err := wrapped.Read(b); string(b[:n]) != "well" || err != nil {
				t.Fatal(n, err)
			}
		}
		for _, f := range []func([]byte) (int, error){wrapped.Read, wrapped.Write} {
			if n, err := f(nil); n != 0 || err != nil {
				t.Error("nothing:", n, err)
			}
		}
	})
}

// TestMoreThanABufferHolds makes both directions wait, for room and for bytes.
func TestMoreThanABufferHolds(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		sent := make([]byte, 12<<20)
		for i := range sent {
			sent[i] = byte(i * i >> 7)
		}
		var wait sync.WaitGroup
		defer wait.Wait()
		wait.Go(func() {
			if n, err := wrapped.Write(sent); n != len(sent) || err != nil {
				t.Error(n, err)
			}
		})
		wait.Go(func() {
			got := make([]byte, len(sent))
			if n, err := io.ReadFull(wrapped, got); err != nil || !bytes.Equal(got, sent) {
				t.Error(n, err)
			}
		})
		back := make([]byte, 100_000)
		for left := len(sent); left > 0; {
			n, err := other.Read(back)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Write(back[:n]); err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	})
}

func TestDeadlines(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, _ net.Conn) {
		if err := wrapped.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]func([]byte) (int, error){"read": wrapped.Read, "write": wrapped.Write} {
			n, err := f(make([]byte, 64<<20))
			var timeout net.Error
			var op *net.OpError
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || !errors.As(err, &op) || op.Op != name {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
	})
}

// TestDeadlineEndsAReadThatWaits: net/http ends a background read of a connection in this way.
func TestDeadlineEndsAReadThatWaits(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		over := make(chan error)
		go func() {
			_, err := wrapped.Read(make([]byte, 1))
			over <- err
		}()
		if err := wrapped.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-over; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if err := wrapped.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := wrapped.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestEnds(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		if err := wrapped.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Error("the other one:", n, err)
		}
		if n, err := wrapped.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Error("write after the end:", n, err)
		}
		other.Close()
		if n, err := wrapped.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Error("read at the end:", n, err)
		}
		wrapped.Close()
		for _, f := range []func([]byte) (int, error){wrapped.Read, wrapped.Write} {
			if n, err := f([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Error("closed:", n, err)
			}
		}
	})
}

func TestQuiet(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		raw, err := wrapped.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		quiet := socket.Quiet(raw)
		if !quiet && socket.Wrap(other) != other {
			t.Error("nothing has come, and it is not quiet")
		}
		loud := func(what string) {
			t.Helper()
			testkit.Eventually(t, what, func() bool { return !socket.Quiet(raw) })
		}
		other.Write([]byte("x"))
		loud("a byte has come")
		if n, err := wrapped.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Error("the look took it:", n, err)
		}
		if socket.Quiet(raw) != quiet {
			t.Error("it was read, and is not quiet")
		}
		other.Close()
		loud("closed by the other end")
		wrapped.Close()
		loud("closed")
	})
}

// TestSkipCheck checks a connection as go-redis does.
func TestSkipCheck(t *testing.T) {
	eachNetwork(t, func(t *testing.T, wrapped, other net.Conn) {
		raw, err := socket.SkipCheck(wrapped).(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		looks := func() (called bool) {
			_ = raw.Read(func(uintptr) bool {
				called = true
				return true
			})
			return called
		}
		if quietable := socket.Wrap(other) != other; looks() == quietable {
			t.Error("at rest: the function was called or not:", !quietable)
		}
		other.Close()
		testkit.Eventually(t, "closed by the other end, the function is called", looks)
	})
}

// TestOthersAreLeftAlone: a pipe has no descriptor.
func TestOthersAreLeftAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for name, wrap := range map[string]func(net.Conn) net.Conn{"Wrap": socket.Wrap, "SkipCheck": socket.SkipCheck} {
		if got := wrap(a); got != a {
			t.Errorf("%s: %T", name, got)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	wrapped, other := pair(t, "tcp")
	b := make([]byte, 100)
	n := testing.AllocsPerRun(100, func() {
		other.Write(b)
		wrapped.Read(b)
		wrapped.Write(b)
		other.Read(b)
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
