package hub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/contain"
	"pushgate/internal/proto"
)

// reported collects where panics were recovered.
func reported(where *[]string) contain.Report {
	return func(at string, _ any, _ []byte) { *where = append(*where, at) }
}

// A panic in one session does not keep a message from the others, nor from that session, which
// reads the log.
func TestPanicInOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var where []string
		missed := message(1, alice)
		log := logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			return proto.Page{Messages: []*proto.Message{missed}, Through: id(1), Head: id(1)}, nil
		})
		h := New(log, Config{Panics: reported(&where)})
		h.Resync(id(0))
		first, last := h.Attach([]channel.ID{alice}, nil, func() {}), 0
		faulty := h.Attach([]channel.ID{alice}, nil, nil) // its wake panics
		third := h.Attach([]channel.ID{alice}, nil, func() { last++ })
		for _, s := range []*Session{first, faulty, third} {
			s.Next() // they rest
		}
		h.Dispatch(missed)
		if len(where) != 1 || where[0] != "push" || last != 1 {
			t.Fatalf("recovered at %q; the last session was woken %d times", where, last)
		}
		for _, s := range []*Session{first, faulty, third} {
			want(t, sequences(t, s), 1)
		}
	})
}

// A panic while a message is dispatched leaves no lock held, and no target that would get the next
// message by mistake.
func TestPanicInADispatch(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(id(0))
	s := h.Attach([]channel.ID{alice}, nil, func() {})
	h.targets = append(h.targets, s) // as a dispatch that ended early leaves them
	h.Dispatch(message(1, bob))
	want(t, sequences(t, s))
	func() {
		defer func() { _ = recover() }()
		h.Dispatch(nil)
	}()
	if !h.mu.TryLock() {
		t.Fatal("the lock is still held")
	}
	h.mu.Unlock()
	h.Resync(id(1))
	if h.Head() != id(1) {
		t.Errorf("head %v", h.Head())
	}
}

// A read of the log that panics is retried, by a worker that goes on.
func TestPanicInAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var where []string
		calls := 0
		log := logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			if calls++; calls < 3 {
				panic("fault")
			}
			return proto.Page{Through: id(9), Head: id(9)}, nil
		})
		h := New(log, Config{Panics: reported(&where), Pace: NewPace(1, 1)})
		h.Resync(id(9))
		cursor := id(3)
		s := h.Attach([]channel.ID{alice}, &cursor, func() {})
		s.Next()
		time.Sleep(time.Minute)
		s.Next()
		if s.Cursor() != id(9) || len(where) != 2 || where[0] != "history" {
			t.Errorf("cursor %v, recovered at %q", s.Cursor(), where)
		}
		if n := h.Stats().ReplayErrors.Load(); n != 2 || len(h.pace.trips) != 0 {
			t.Errorf("%d failed readings, %d trips under way", n, len(h.pace.trips))
		}
	})
}
