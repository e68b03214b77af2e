package edge

import (
	"testing"
	"time"

	"pushgate/internal/netpoll"
)

// deafMember counts the calls of Leave, and stays until it is cut.
type deafMember struct {
	heartbeats   *netpoll.Heartbeats
	slot         int
	leaves, cuts int
	after        time.Duration // of the cut
	since        time.Time
}

func (m *deafMember) Tick(time.Time) {}
func (m *deafMember) Leave()         { m.leaves++ }
func (m *deafMember) Cut() {
	m.cuts++
	m.after = time.Since(m.since)
	m.heartbeats.Remove(m, m.slot)
}

// A client that does not answer is asked to leave once, and cut when its time is over.
func TestDrainAsksOnce(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		var all []*deafMember
		for range 5 {
			m := &deafMember{heartbeats: w.edge.shared.Heartbeats, slot: netpoll.RandomSlot(), since: time.Now()}
			w.edge.shared.Heartbeats.Add(m, m.slot)
			all = append(all, m)
		}
		start := time.Now()
		w.edge.Drain(t.Context())
		window := w.edge.config.Drain
		if took := time.Since(start); took < window+closeTimeout || took > window+CloseGrace+time.Second {
			t.Errorf("drained in %v", took)
		}
		for _, m := range all {
			if m.leaves != 1 || m.cuts != 1 || m.after < window {
				t.Errorf("asked %d times, cut %d times after %v", m.leaves, m.cuts, m.after)
			}
		}
	})
}
