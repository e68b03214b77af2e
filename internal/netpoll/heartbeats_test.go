package netpoll

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tickedMember records when it is ticked, and may delay the clock.
type tickedMember struct {
	ticks []time.Time
	// How long each tick takes, or only the first one if that is longer than an interval.
	hold time.Duration
}

func (m *tickedMember) Tick(now time.Time) {
	m.ticks = append(m.ticks, now)
	if len(m.ticks) == 1 || m.hold < time.Minute {
		time.Sleep(m.hold)
	}
}
func (m *tickedMember) Leave() {}
func (m *tickedMember) Cut()   {}

// TestHeartbeatsCatchUp: ticks that a busy machine has missed do not make later ones late, and a
// long stop does not cause a burst of ticks.
func TestHeartbeatsCatchUp(t *testing.T) {
	const interval = 5 * time.Second
	for _, hold := range []time.Duration{0, 2 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHeartbeats(interval, nil)
			busy, other := &tickedMember{hold: hold}, new(tickedMember)
			h.Add(busy, 0)
			h.Add(other, 25)
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { h.Run(ctx) })
			time.Sleep(hold + 20*interval)
			stop()
			running.Wait()
			if n := len(other.ticks); n < 19 || n > 22 {
				t.Errorf("%d ticks after a stop of %v", n, hold)
			}
			for i, at := range other.ticks[1:] {
				if gap := at.Sub(other.ticks[i]); gap > interval+hold {
					t.Errorf("no tick for %v", gap)
				}
			}
		})
	}
}
