package edge

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
)

// TestGraceOutlivesAWriteOfTheWhole: when all presence is written again because a write failed, a
// channel that has just lost its last session still keeps its whole grace.
func TestGraceOutlivesAWriteOfTheWhole(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		online := func() int {
			n, err := w.log.Online(t.Context(), []channel.ID{alice})
			if err != nil {
				t.Fatal(err)
			}
			return n[0]
		}
		conn := w.dial(w.url("/subws/", signed(alice)))
		time.Sleep(2 * presenceStep)
		conn.CloseNow()
		left := time.Now()
		time.Sleep(2 * presenceStep)
		w.log.Fail(errors.New("away"))
		w.dial(w.url("/subws/", signed(bob))) // has something to be written
		time.Sleep(2 * presenceStep)
		w.log.Fail(nil)
		for online() > 0 {
			time.Sleep(presenceStep)
			synctest.Wait()
		}
		if took := time.Since(left); took < presenceGrace || took > presenceGrace+3*presenceStep {
			t.Errorf("gone after %v, want %v", took, presenceGrace)
		}
	})
}
