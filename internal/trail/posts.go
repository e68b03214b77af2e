package trail

import (
	"slices"
	"time"

	"pushgate/internal/proto"
)

// mostReceivers is how many receivers of a message are recorded.
const mostReceivers = 64

// Outcome is what became of a post.
type Outcome string

// The outcomes.
const (
	Stored   Outcome = "stored"   // or notified, if it is transient
	Repeated Outcome = "repeated" // the log had a message with its key
	Closed   Outcome = "closed"   // no receiver takes messages any more
	Failed   Outcome = "failed"   // the log did not answer in time: it may have the message
)

var outcomes = []Outcome{Stored, Repeated, Closed, Failed}

// Posts remembers what a process has put into the log. Its methods may be called concurrently. A
// nil Posts remembers nothing.
type Posts struct {
	ring    *Ring
	portals names // configured, so not bounded: without its name, a post would be no portal's
	types   names // bounded: they come from outside
	rule    Rule
	traces  *Traces
}

// Rule returns the rule that bounds the lives of messages of a type, as its setting has it, and the
// longest life that it allows. The text is empty if no rule does.
type Rule = func(typ string) (text string, longest time.Duration)

// NewPosts returns a Posts of at most so many bytes.
func NewPosts(bytes int, rule Rule) *Posts {
	return &Posts{ring: NewRing(bytes), types: names{most: mostNames}, rule: rule, traces: new(Traces)}
}

// Traces returns what is followed live of the posts, and of the edge that they are of.
func (p *Posts) Traces() *Traces {
	if p == nil {
		return nil
	}
	return p.traces
}

// Note records the answer of the log to some messages of a portal.
func (p *Posts) Note(portal string, msgs []*proto.Message, receipts []proto.Receipt, err error) {
	if p == nil {
		return
	}
	now := time.Now().UnixMicro()
	for i, m := range msgs {
		outcome, id := 0, proto.ID{}
		switch {
		case err != nil:
			outcome = slices.Index(outcomes, Failed)
		case receipts[i].Repeated:
			outcome, id = slices.Index(outcomes, Repeated), receipts[i].ID
		case receipts[i].ID.IsZero():
			outcome = slices.Index(outcomes, Closed)
		default:
			id = receipts[i].ID
		}
		p.note(now, portal, outcome, id, m)
		p.traces.posted(now, portal, outcomes[outcome], id, m)
	}
}

func (p *Posts) note(now int64, portal string, outcome int, id proto.ID, m *proto.Message) {
	var fields [8 + mostReceivers]uint64
	b := append(fields[:0], p.portals.number(portal), uint64(outcome), id.Epoch, id.Sequence, p.types.number(m.Type), uint64(m.TTL.Milliseconds()),
		uint64(max(now-m.Created.UnixMicro(), 0)), uint64(len(m.Receivers)))
	for _, receiver := range m.Receivers[:min(len(m.Receivers), mostReceivers)] {
		b = append(b, uint64(MarkOf(receiver)))
	}
	p.ring.Append(now, b...)
}

// Post is a message that a process has put into the log, or tried to. Times are unix microseconds.
type Post struct {
	Portal    string   `json:"portal"`
	ID        proto.ID `json:"id"`
	Outcome   Outcome  `json:"outcome"`
	At        int64    `json:"at"`      // when the log had answered
	Created   int64    `json:"created"` // when the process had read the post
	Type      string   `json:"type"`
	Life      int64    `json:"life_ms"`   // 0: transient
	Rule      string   `json:"rule"`      // that bounds the lives of this type; "" if none does
	Longest   int64    `json:"rule_ms"`   // what it allows
	Receivers int      `json:"receivers"` // their number
	Marks     []Mark   `json:"marks"`     // of the first ones
}

// Find returns the newest posts, at most so many, that match: of a portal, unless it is empty; with
// an id, unless it is zero; to one of some channels, unless there are none.
func (p *Posts) Find(portal string, id proto.ID, marks []Mark, most int) (found []Post) {
	if p == nil {
		return nil
	}
	of, known := p.portals.has(portal)
	if !known && portal != "" {
		return nil
	}
	p.ring.Each(func(at int64, fields []uint64) {
		r := reader{fields}
		name, outcome := r.next(), r.next()
		if number := r.id(); portal != "" && name != of || !id.IsZero() && number != id {
			return
		}
		if len(marks) > 0 && !slices.ContainsFunc(fields[8:], func(f uint64) bool { return slices.Contains(marks, Mark(f)) }) {
			return
		}
		r = reader{fields[2:]}
		post := Post{Portal: p.portals.text(name), Outcome: outcomes[outcome], ID: r.id(), At: at, Type: p.types.text(r.next()), Life: int64(r.next()),
			Created: at - int64(r.next()), Receivers: int(r.next()), Marks: r.marks()}
		if p.rule != nil {
			rule, life := p.rule(post.Type)
			post.Rule, post.Longest = rule, life.Milliseconds()
		}
		if found = append(found, post); len(found) > 2*most {
			found = slices.Delete(found, 0, len(found)-most)
		}
	})
	return found[max(0, len(found)-most):]
}

// Since returns from when on p has all posts, in unix microseconds.
func (p *Posts) Since() int64 {
	if p == nil {
		return time.Now().UnixMicro()
	}
	return p.ring.Since()
}
