package explain

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/fleet"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// crowdedEdge is an edge that remembers some sessions.
type crowdedEdge struct {
	trail  *trail.Edge
	living []trail.Past
	asked  func() // called for each question; may be nil
}

func (e crowdedEdge) Trail() *trail.Edge { return e.trail }
func (e crowdedEdge) Sessions([]channel.ID, []trail.Mark) []trail.Past {
	if e.asked != nil {
		e.asked()
	}
	return e.living
}
func (e crowdedEdge) When(portal string, id proto.ID) *trail.Span { return nil }

// TestOneQuestionAtATime: a process looks through what it remembers for one question at a time, so
// that whoever may ask takes one processor of it at most, and some questions wait.
func TestOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		e := crowdedEdge{trail: trail.NewEdge(1<<20, nil), asked: func() {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(300 * time.Millisecond)
			now.Add(-1)
		}}
		f := fleet.New(nil, "one", slog.New(slog.DiscardHandler))
		Parts{Edge: e}.Register(f)
		var answered, busy atomic.Int32
		var asking sync.WaitGroup
		for range 10 {
			asking.Go(func() {
				// The error is that the others cannot be asked.
				got, _ := f.Ask(t.Context(), questionTrail, "", question{Marks: []trail.Mark{1}})
				switch {
				case len(got.Answers) == 0: // it was not its turn in time
				case got.Answers[0].Err == "":
					answered.Add(1)
				case strings.Contains(got.Answers[0].Err, "busy"):
					busy.Add(1)
				}
			})
		}
		asking.Wait()
		if most.Load() != 1 || answered.Load() < 5 || answered.Load() > 7 || busy.Load() != 10-mostInLine {
			t.Errorf("%d at a time, %d answered, %d too many", most.Load(), answered.Load(), busy.Load())
		}
		time.Sleep(time.Second) // the last one
	})
}
