package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// TestCloseDuringThePauseOfAReading: the next attempt comes after Close has waited for the workers,
// and must start none.
func TestCloseDuringThePauseOfAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			reads++
			return proto.Page{}, errors.New("away")
		}), Config{})
		h.Resync(id(1))
		s := h.Attach([]channel.ID{alice}, new(proto.ID), func() { t.Error("woken by a hub that is closed") })
		defer s.Detach()
		s.Next()
		synctest.Wait()
		if reads != 1 || h.Stats().ReplayErrors.Load() != 1 {
			t.Fatalf("%d reads, want one that failed", reads)
		}
		h.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		h.reads.mu.Lock()
		defer h.reads.mu.Unlock()
		if reads != 1 || h.reads.working != 0 || len(h.reads.queue) != 0 || len(h.reads.open) != 0 {
			t.Errorf("after Close: %d reads, %d workers, %d questions", reads-1, h.reads.working, len(h.reads.queue))
		}
	})
}

// TestPauseGrowsWithEachAttempt: each attempt finds the pause that the failure before it has set.
func TestPauseGrowsWithEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			at = append(at, time.Now())
			return proto.Page{}, errors.New("away")
		}), Config{})
		h.Resync(id(1))
		s := h.Attach([]channel.ID{alice}, new(proto.ID), func() {})
		s.Next()
		time.Sleep(time.Minute)
		s.Detach()
		synctest.Wait()
		pause := firstPause
		for i := range len(at) - 1 {
			if took := at[i+1].Sub(at[i]); took < pause/2 || took > pause*3/2 {
				t.Errorf("pause %d took %v, want about %v", i, took, pause)
			}
			pause = min(2*pause, mostPause)
		}
		h.Close()
	})
}
