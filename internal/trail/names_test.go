package trail

import (
	"fmt"
	"testing"
	"time"

	"pushgate/internal/proto"
)

// TestTypesOfOnePortalHideNoOther: a portal that posts ever new types takes no names from the
// portals that come later, in any number.
func TestTypesOfOnePortalHideNoOther(t *testing.T) {
	p := NewPosts(64<<20, nil)
	for i := range mostNames {
		m := message(0, alice)
		m.Type = fmt.Sprint("type ", i)
		p.Note("greedy", []*proto.Message{m}, []proto.Receipt{{ID: id(uint64(i) + 1)}}, nil)
	}
	for i := range 2 * mostNames {
		p.Note(fmt.Sprint("portal ", i), []*proto.Message{message(0, bob)}, []proto.Receipt{{ID: id(7)}}, nil)
	}
	for _, portal := range []string{"portal 0", fmt.Sprint("portal ", 2*mostNames-1)} {
		if found := p.Find(portal, id(7), nil, 10); len(found) != 1 || found[0].Portal != portal {
			t.Errorf("%s: %+v", portal, found)
		}
	}
}

// TestManyPortals: of any number of portals, none is taken for another.
func TestManyPortals(t *testing.T) {
	e := NewEdge(64<<20, nil)
	const many = 2 * mostNames
	for i := range uint64(many) {
		h := e.Heard(fmt.Sprint("portal ", i))
		m := message(i)
		m.Received = time.Now()
		h.Note(m)
		h.End()
	}
	last := fmt.Sprint("portal ", many-1)
	if e.When(last, id(many-1), nil) == nil || e.When(last, id(many-2), nil) != nil {
		t.Error("the messages of two portals are mixed up")
	}
	e.End(e.Begin(last, nil, false, nil), Past{Portal: last, Kind: "websocket", Reason: "client_closed", Channels: []Mark{1}})
	if got, _ := e.Ended([]Mark{1}, proto.ID{}, 1); len(got) != 1 || got[0].Portal != last || got[0].Kind != "websocket" || got[0].Reason != "client_closed" {
		t.Errorf("a session: %+v", got)
	}
}

// TestQuestionsNameNobody: a question about a portal that does not exist takes no memory.
func TestQuestionsNameNobody(t *testing.T) {
	e := NewEdge(1<<20, nil)
	e.When("nobody", id(1), nil)
	e.Posts().Find("nobody", id(1), nil, 10)
	if n := len(e.portals.texts) + len(e.posts.portals.texts); n > 0 {
		t.Errorf("%d names", n)
	}
}
