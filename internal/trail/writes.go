package trail

import (
	"slices"

	"pushgate/internal/proto"
)

// EventKind is a kind of [Event].
type EventKind int

// The kinds.
const (
	Read    EventKind = iota // a page of the log, or of memory, was returned to the session
	Late                     // messages were written later than usual
	Dropped                  // the inbox was full, and dropped
)

// Event is something about the messages of one session that does not follow from its position.
type Event struct {
	Kind    EventKind `json:"kind"`
	Session uint64    `json:"session"`
	At      int64     `json:"at"` // unix microseconds
	// Read: the page has what came after After, up to Through. Late and Dropped: the first and the
	// last message.
	After   proto.ID `json:"after"`
	Through proto.ID `json:"through"`
	// Of Read: its first message, zero if there was none; and the newest id that may have been
	// missing from the log by then, zero if none was.
	First proto.ID `json:"first"`
	Lost  proto.ID `json:"lost"`
}

// Covers reports whether a message is within the range of e.
func (e Event) Covers(id proto.ID) bool {
	return !id.After(e.Through) && (id.After(e.After) || e.Kind != Read && id == e.After)
}

// Note records an event.
func (e *Edge) Note(v Event) {
	if e == nil {
		return
	}
	e.writes.Append(v.At, uint64(v.Kind), v.Session, v.After.Epoch, v.After.Sequence, v.Through.Epoch, v.Through.Sequence,
		v.First.Epoch, v.First.Sequence, v.Lost.Epoch, v.Lost.Sequence)
}

// Events returns the events of some sessions that cover a message, in the order of time.
func (e *Edge) Events(sessions []uint64, id proto.ID) (found []Event) {
	if e == nil {
		return nil
	}
	wanted := make(map[uint64]struct{}, len(sessions))
	for _, number := range sessions {
		wanted[number] = struct{}{}
	}
	e.writes.Each(func(at int64, fields []uint64) {
		if _, ok := wanted[fields[1]]; !ok {
			return
		}
		r := reader{fields}
		v := Event{Kind: EventKind(r.next()), Session: r.next(), At: at, After: r.id(), Through: r.id(), First: r.id(), Lost: r.id()}
		if v.Covers(id) && len(found) < mostEvents {
			found = append(found, v)
		}
	})
	return found
}

// mostEvents bounds the events of one answer.
const mostEvents = 2000

// Refusal is a subscription that was refused because of what the client brought.
type Refusal struct {
	Portal string `json:"portal"`
	At     int64  `json:"at"` // unix microseconds
	Cause  string `json:"cause"`
	Marks  []Mark `json:"marks"` // of the channels that it asked for
}

// The causes of refusals.
const (
	RefusedKey   = "key"   // no key of the portal has signed what the client brought
	RefusedToken = "token" // the token has expired, or is wrong otherwise
)

// Refuse records a refusal.
func (e *Edge) Refuse(r Refusal) {
	if e == nil {
		return
	}
	var fields [2 + 16]uint64
	b := append(fields[:0], e.portals.number(r.Portal), e.labels.number(r.Cause))
	for _, m := range r.Marks[:min(len(r.Marks), 16)] {
		b = append(b, uint64(m))
	}
	e.refused.Append(r.At, b...)
	e.traces.refused(r)
}

// Refusals returns the newest refusals that had one of some channels.
func (e *Edge) Refusals(marks []Mark, most int) (found []Refusal) {
	if e == nil {
		return nil
	}
	e.refused.Each(func(at int64, fields []uint64) {
		if !slices.ContainsFunc(fields[2:], func(f uint64) bool { return slices.Contains(marks, Mark(f)) }) {
			return
		}
		r := reader{fields}
		found = append(found, Refusal{Portal: e.portals.text(r.next()), Cause: e.labels.text(r.next()), At: at, Marks: r.marks()})
	})
	return found[max(0, len(found)-most):]
}
