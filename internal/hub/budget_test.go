//go:build !race

// The race detector makes pools forget at random, so that budgets cannot be held under it.

package hub

import (
	"testing"
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
	if size > 300 {
		t.Errorf("a session at rest takes %d bytes, budget 300", size)
	}
}
