package intake_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/intake"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestLimitsChange: a portal keeps its gate when its limits change, and the latest limits hold.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gates := intake.New(2, 100)
		gate := gates.Of("a", portal.Limits{Posts: 1})
		post := []*proto.Message{{Body: make([]byte, 10)}}
		enter := func(want bool) {
			t.Helper()
			if got := gate.Enter(post); got != want {
				t.Errorf("entered: %t, with %d on their way", got, gates.Posts())
			}
		}
		enter(true)
		enter(false) // the portal's limit
		if gates.Of("a", portal.Limits{Posts: 10}) != gate {
			t.Error("it has another gate")
		}
		enter(true)
		enter(false) // the process's
		gate.Leave(post)
		gate.Leave(post)
		gates.Of("a", portal.Limits{Posts: 10, Rate: 1})
		time.Sleep(time.Second)
		enter(true)
		enter(false) // the portal's rate
		gate.Leave(post)
		if n := gates.Posts(); n != 0 {
			t.Errorf("%d posts are still counted", n)
		}
	})
}

func TestLogBehindItsGate(t *testing.T) {
	gates := intake.New(10, 1000)
	log := intake.Log{Log: storetest.NewMemory(store.Config{}), Gate: gates.Of("a", portal.Limits{Posts: 10, Rate: 1})}
	if _, err := log.Append(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := log.Append(t.Context()); !errors.Is(err, intake.ErrBusy) || gates.Posts() != 0 {
		t.Errorf("%v, with %d on their way", err, gates.Posts())
	}
}
