//go:build !race

// The race detector makes pools forget at random, so that budgets cannot be held under it.

package hub

import (
	"runtime"
	"testing"
	"testing/synctest"
	"unsafe"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

func TestDispatchAllocatesNothing(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(proto.ID{})
	var sessions []*Session
	for range 100 {
		sessions = append(sessions, h.Attach([]channel.ID{alice}, nil, func() {}))
	}
	m := message(0, alice)
	got := testing.AllocsPerRun(200, func() {
		m.ID.Sequence++
		h.Dispatch(m)
		for _, s := range sessions {
			if batch := s.Next(); len(batch.Messages) != 1 {
				t.Fatal(batch)
			}
			s.Next()
		}
	})
	if got > 2 { // the pool may be emptied by a collection in between
		t.Errorf("dispatching to 100 sessions and collecting allocates %v times", got)
	}
}

func TestSessionIsSmall(t *testing.T) {
	const channels = 2
	size := unsafe.Sizeof(Session{}) + channels*(unsafe.Sizeof(channel.ID{})+unsafe.Sizeof(int(0)))
	if size > 330 { // 48 of them say where it is to those who ask
		t.Errorf("a session at rest takes %d bytes, budget 330", size)
	}
}

// A session at rest, in one channel of its own and one of all, with its topic and its entry among
// the watchers.
func TestTenThousandSessionsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sessions = 10_000
		h := New(noLog(t), Config{})
		h.Resync(id(1))
		before, goroutines := live(), runtime.NumGoroutine()
		all := make([]*Session, sessions)
		for n := range all {
			own := channel.FromBytes([16]byte{9, byte(n), byte(n >> 8)})
			all[n] = h.Attach([]channel.ID{alice, own}, nil, func() {})
			all[n].Next()
		}
		h.Dispatch(message(2, alice))
		for _, s := range all {
			if batch := s.Next(); len(batch.Messages) != 1 {
				t.Fatal(batch)
			}
			s.Next() // it rests again, and has no inbox
		}
		h.TakeChanges()
		if each := float64(live()-before) / sessions; each > 600 {
			t.Errorf("a session holds %.0f bytes, budget 600", each)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 0 {
			t.Errorf("%d goroutines", n)
		}
		runtime.KeepAlive(all)
	})
}

// live returns the bytes of the heap that are in use and not garbage.
func live() int64 {
	runtime.GC()
	runtime.GC() // pools forget at the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
