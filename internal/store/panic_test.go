package store_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// faultyFollower panics when it is handed some messages.
type faultyFollower struct {
	*storetest.Recorder
	prompt bool
}

func (f faultyFollower) Prompt() bool { return f.prompt }

func (f faultyFollower) Dispatch(m *proto.Message) {
	if string(m.Body) == "fault" {
		panic("fault")
	}
	f.Recorder.Dispatch(m)
}

// A panic over one message has the follower subscribe anew, so that its readers find the message in
// the log, whichever goroutine hands the message over.
func TestPanicOverAMessageIsAResync(t *testing.T) {
	for _, prompt := range []bool{false, true} {
		t.Run(fmt.Sprintf("prompt %t", prompt), func(t *testing.T) {
			var panics atomic.Int32
			cfg := calm()
			cfg.Panics = func(string, any, []byte) { panics.Add(1) }
			l := store.New(open(t, storetest.StartRedis(t).URL()), cfg).Log("default")
			f := faultyFollower{storetest.NewRecorder(t), prompt}
			follow(t, l, f)
			testkit.Eventually(t, "a resync", func() bool { return f.Resyncs() == 1 })
			post(t, l, msg(time.Hour, "a", ch(1)))
			testkit.Eventually(t, "notification", func() bool { return len(f.Texts()) == 1 })
			fault := post(t, l, msg(time.Hour, "fault", ch(1)))
			testkit.Eventually(t, "a resync", func() bool { return f.Resyncs() == 2 })
			if _, downs, up, newest := f.State(); downs < 1 || !up || newest != fault || panics.Load() != 1 {
				t.Errorf("%d times down, up %t, newest %v, %d panics", downs, up, newest, panics.Load())
			}
			post(t, l, msg(time.Hour, "b", ch(1)))
			testkit.Eventually(t, "notification", func() bool { return len(f.Texts()) == 2 })
			if !slices.Equal(f.Texts(), []string{"a", "b"}) {
				t.Errorf("texts %q", f.Texts())
			}
		})
	}
}
