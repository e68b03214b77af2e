package explain

import (
	"encoding/json"
	"testing"

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
}

func (e crowdedEdge) Trail() *trail.Edge                               { return e.trail }
func (e crowdedEdge) Sessions([]channel.ID, []trail.Mark) []trail.Past { return e.living }
func (e crowdedEdge) When(portal string, id proto.ID) *trail.Span      { return nil }

// TestAnswerAboutSessionsOfManyChannels: a process answers about as many sessions as it may, however
// many other channels they watch. The answer was too long, and the process counted as silent.
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
