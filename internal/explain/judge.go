package explain

import (
	"slices"

	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// facts are what is known of a message, wherever it is asked about. Times are unix microseconds.
type facts struct {
	id        proto.ID
	created   int64 // by the publisher's clock; 0 if it is not known
	expires   int64 // 0 if it is not known, or it is transient
	transient bool
	// It may have been trimmed: the log does not list it for some receiver, and has trimmed as new
	// ids of that one.
	trimmed bool
}

// witness is what one edge remembers of a message.
type witness struct {
	heard *trail.Span // when it was notified; nil if it does not remember that
	reach trail.Reach
	now   int64
}

// verdict is what became of a message at one session.
type verdict struct {
	why     Why
	written []trail.Span // the times at which it was written, or between which
	missing Missing      // why something is not known; "" if all is
}

// judge says what became of a message at a session that watches one of its channels. events are
// those of the session that cover the message.
//
// A session is sent everything that comes after where it began, in order. So whether the message
// is due follows from its id alone, and whether it was passed, too. What was passed was written,
// unless it was not there any more when the session read the log; every such reading is an event.
func judge(f facts, p trail.Past, events []trail.Event, w witness) verdict {
	switch {
	case !f.id.After(p.From):
		return f.before(p, w)
	case f.id.After(p.Sent):
		return f.unsent(p, events, w)
	}
	v := f.recorded(p, events, w)
	if len(v.written) > 0 || v.why != "" {
		return v
	}
	return f.live(p, events, w)
}

// before is judge for a message that was never due to the session.
func (f facts) before(p trail.Past, w witness) verdict {
	switch {
	case p.Brought:
		return verdict{why: Position}
	case f.transient:
		return verdict{why: Missed}
	default:
		return verdict{why: Since}
	}
}

// base returns when the message was there for an edge, by the edge's own clock if it is known.
func (f facts) base(w witness) int64 {
	if w.heard != nil {
		return w.heard.From
	}
	return f.created
}

// unsent is judge for a message that the session is not known to have passed.
func (f facts) unsent(p trail.Past, events []trail.Event, w witness) verdict {
	for _, e := range events {
		if e.Kind == trail.Late { // of a batch that was not written to its end
			return verdict{why: Written, written: []trail.Span{{From: e.At, To: e.At}}}
		}
	}
	base := f.base(w)
	switch {
	case p.Ended == 0 && f.transient && !f.heard(w):
		return verdict{why: Missed}
	case p.Ended == 0:
		return verdict{why: Behind}
	case !f.id.After(p.Returned):
		return verdict{why: Unknown, missing: MissCut}
	case p.Reason == reasonEvicted:
		return verdict{why: Evicted}
	case base != 0 && p.Ended < base:
		return verdict{why: NotConnected}
	default:
		return verdict{why: Behind}
	}
}

// reasonEvicted is the reason of an end by which a session makes room.
const reasonEvicted = "too_many_connections"

// heard reports whether the edge was notified, or may have been.
func (f facts) heard(w witness) bool {
	return w.heard != nil || f.created == 0 || w.reach.Heard > f.created
}

// recorded is judge by the events alone. The verdict is empty if they do not decide.
func (f facts) recorded(p trail.Past, events []trail.Event, w witness) (v verdict) {
	// It came live if it was notified after the session began, unless the inbox was dropped with
	// it. Times of notifications are those of a run of messages.
	live := w.heard != nil && !slices.ContainsFunc(events, func(e trail.Event) bool { return e.Kind == trail.Dropped })
	passed := Why("")
	var late []trail.Span
	for _, e := range events {
		switch e.Kind {
		case trail.Late:
			late = append(late, trail.Span{From: e.At, To: e.At})
		case trail.Dropped:
			if f.transient {
				return verdict{why: Missed}
			}
		case trail.Read:
			why, sure := f.read(e)
			switch {
			case f.transient: // it may have come live, and waited for the page
				if w.heard != nil && p.Began <= w.heard.To {
					v.written = append(v.written, trail.Span{From: w.heard.From, To: e.At + trail.Prompt})
				}
			case why == Written:
				v.written = append(v.written, trail.Span{From: e.At, To: e.At + trail.Prompt})
			case live && p.Began <= w.heard.From:
			case sure && !(live && p.Began <= w.heard.To): // else it may have come live
				passed = why
			default:
				v.missing = MissPassed
			}
		}
	}
	// What was written late are the messages of a page from its first to its last. One that the
	// page did not have was not among them.
	if len(v.written) > 0 || passed == "" && v.missing == "" {
		v.written = append(v.written, late...)
	}
	switch {
	case len(v.written) > 0:
		v.why, v.missing = Written, ""
	case passed != "":
		return verdict{why: passed}
	case v.missing != "":
		v.why = Unknown
	}
	return v
}

// read returns whether a page that covers the message had it, and if not, why; sure is false if
// the reason is a guess.
func (f facts) read(e trail.Event) (why Why, sure bool) {
	const margin = 1_000_000 // clocks, and the time of the reading
	before := e.First.IsZero() || e.First.After(f.id)
	switch {
	case f.expires != 0 && e.At > f.expires+margin:
		return Expired, true
	case before && f.expires != 0 && e.At > f.expires-margin:
		return Expired, e.Lost.IsZero()
	case before && !e.Lost.IsZero() && !f.id.After(e.Lost):
		return Trimmed, true
	case before:
		return Unknown, false
	case !e.Lost.IsZero() && !f.id.After(e.Lost) && f.trimmed, f.expires != 0 && e.At > f.expires-margin:
		return Unknown, false
	default:
		return Written, true
	}
}

// live is judge for a message that the session has passed, and of which no event says how: it came
// live, unless the memory of events does not reach back that far.
func (f facts) live(p trail.Past, events []trail.Event, w witness) verdict {
	end := p.Ended
	if end == 0 {
		end = w.now
	}
	from := max(f.base(w), p.Began)
	whole := w.reach.Writes <= from && from != 0 // all events since then are there
	switch {
	case w.heard != nil && p.Began <= w.heard.To && whole:
		return verdict{why: Written, written: []trail.Span{{From: w.heard.From, To: w.heard.To + trail.Prompt}}}
	case f.transient && w.heard != nil && p.Began > w.heard.To, f.transient && !f.heard(w):
		return verdict{why: Missed}
	case f.transient:
		return verdict{why: Unknown, missing: MissWrites}
	case whole && (w.heard != nil || w.reach.Heard <= f.created) && f.expires != 0 && end > f.expires:
		return verdict{why: Expired} // it would have been read, and no page had it
	case whole && (w.heard != nil || w.reach.Heard <= f.created) && f.trimmed:
		return verdict{why: Trimmed}
	case f.trimmed, f.expires != 0 && end > f.expires, from == 0:
		return verdict{why: Unknown, missing: MissPassed}
	case whole && w.heard == nil && w.reach.Heard <= f.created, whole && w.heard != nil:
		return verdict{why: Unknown, missing: MissPassed} // it should have been read
	default:
		missing := MissWrites
		if w.reach.Writes <= from {
			missing = MissHeard
		}
		return verdict{why: Written, written: []trail.Span{{From: from, To: end}}, missing: missing}
	}
}
