package edge

import (
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// brokenListener fails as its errors say, and then is closed.
type brokenListener struct {
	net.Listener
	errs  []error // nil: a connection
	times []time.Time
}

func (l *brokenListener) Accept() (net.Conn, error) {
	l.times = append(l.times, time.Now())
	if len(l.errs) == 0 {
		return nil, net.ErrClosed
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	if err != nil {
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	server, client := newRestingPipe()
	client.Close()
	return server, nil
}

// TestServePausesAfterTemporaryErrors: a process without free descriptors neither spins nor ends,
// and begins with the shortest pause again after a connection.
func TestServePausesAfterTemporaryErrors(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		full := error(syscall.EMFILE)
		l := &brokenListener{errs: append(slices.Repeat([]error{full}, 10), nil, full)}
		if err := w.edge.Serve(l); err != net.ErrClosed {
			t.Errorf("ended with %v", err)
		}
		var pauses []time.Duration
		for i := range l.times[1:] {
			pauses = append(pauses, l.times[i+1].Sub(l.times[i])/time.Millisecond)
		}
		want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 0, 5}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses of %d ms, want %d", pauses, want)
		}
		synctest.Wait()
	})
}
