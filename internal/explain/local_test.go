package explain

import (
	"encoding/json"
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
	"pushgate/internal/testkit"
	"pushgate/internal/trail"
)

// crowdedEdge is an edge where one channel is watched by sessions that watch a hundred others each.
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

// TestAnswerAboutSessionsOfManyChannels: a process answers about as many sessions as it may,
// however many other channels they watch. With all of them, the answer could be too long.
func TestAnswerAboutSessionsOfManyChannels(t *testing.T) {
	asked := testkit.Channel(1)
	ids := []channel.ID{asked}
	for i := range 99 {
		ids = append(ids, testkit.Channel(byte(100+i)))
	}
	e := crowdedEdge{trail: trail.NewEdge(16<<20, nil)}
	for i := range 2 * mostSessions {
		s := e.trail.Begin("a", ids, false, nil)
		p := trail.Past{Number: s.Number, Portal: "a", Kind: "websocket", Channels: trail.MarksOf(ids), Began: s.Began}
		if i < mostSessions {
			e.living = append(e.living, p)
			continue
		}
		p.Ended, p.Reason = s.Began+1, "client_closed"
		e.trail.End(s, p)
	}
	answer, err := Parts{Edge: e}.answer(question{Portal: "a", Channels: []string{asked.String()}, Marks: []trail.Mark{trail.MarkOf(asked)}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil || len(text) > fleet.MaxAnswer/2 {
		t.Errorf("an answer of %d bytes, of %d: %v", len(text), fleet.MaxAnswer, err)
	}
	if len(answer.Sessions) != 2*mostSessions {
		t.Errorf("%d sessions", len(answer.Sessions))
	}
	for _, s := range answer.Sessions {
		if len(s.Channels) != 1 || s.Channels[0] != trail.MarkOf(asked) {
			t.Fatalf("%+v", s)
		}
	}
	if len(e.living[0].Channels) != len(ids) {
		t.Error("the sessions themselves were changed")
	}
}

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
