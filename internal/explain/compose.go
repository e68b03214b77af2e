package explain

import (
	"slices"

	"pushgate/internal/channel"
	"pushgate/internal/trail"
)

// judge notes what became of a message at all sessions of its receivers, and for each receiver.
func (r *Report) judge(f facts, all map[string]local, receivers []channel.ID, marks []trail.Mark) {
	names := make(map[trail.Mark]string, len(receivers))
	for i, id := range receivers {
		names[marks[i]] = name(id)
	}
	for process, a := range all {
		if !a.Edge {
			continue
		}
		w := witness{heard: a.Heard, reach: a.Reach, now: a.Now}
		r.hear(process, f, w)
		r.reach(process, a, MissSessions, a.Reach.Ended, f.created)
		if a.Many {
			r.miss(process, MissMany, 0)
		}
		r.refuse(process, a.Refused)
		for _, p := range a.Sessions {
			s := session(process, p, names, marks)
			if p.Portal != r.Portal {
				s.Why, s.Text = OtherPortal, Texts[OtherPortal]
				r.Sessions = append(r.Sessions, s)
				continue
			}
			v := judge(f, p, eventsOf(a.Events, p.Number), w)
			s.Why, s.Text, s.Written = v.why, Texts[v.why], v.written
			s.Acked = v.why == Written && !p.Acked.IsZero() && !f.id.After(p.Acked)
			s.Previous = p.Ended != 0 && p.Ended < f.base(w)
			if v.missing != "" {
				r.miss(process, v.missing, missedSince(v.missing, a.Reach))
			}
			r.Sessions = append(r.Sessions, s)
		}
	}
	for _, m := range marks {
		r.Verdicts = append(r.Verdicts, Verdict{Channel: names[m], Mark: m, Why: r.verdict(f, m)})
	}
	r.Sessions = slices.DeleteFunc(r.Sessions, func(s Session) bool { return s.Previous && s.Why == NotConnected && len(r.Sessions) > mostSessions })
}

func missedSince(what Missing, reach trail.Reach) int64 {
	switch what {
	case MissWrites:
		return reach.Writes / 1000
	case MissHeard:
		return reach.Heard / 1000
	default:
		return 0
	}
}

// hear notes when an edge was notified.
func (r *Report) hear(process string, f facts, w witness) {
	h := Heard{Process: process, Known: w.heard != nil || f.created != 0 && w.reach.Heard <= f.created}
	if w.heard != nil {
		h.From, h.To = w.heard.From/1000, w.heard.To/1000
	}
	if !h.Known {
		r.miss(process, MissHeard, w.reach.Heard/1000)
	}
	r.Message.Heard = append(r.Message.Heard, h)
}

func (r *Report) refuse(process string, refusals []trail.Refusal) {
	for _, f := range refusals {
		why := KeyChanged
		if f.Cause == trail.RefusedToken {
			why = BadToken
		}
		r.Refused = append(r.Refused, Refused{Process: process, At: f.At / 1000, Portal: f.Portal, Why: why, Text: Texts[why], marks: f.Marks})
	}
}

// eventsOf returns the events of one session.
func eventsOf(events []trail.Event, number uint64) (own []trail.Event) {
	for _, e := range events {
		if e.Session == number {
			own = append(own, e)
		}
	}
	return own
}

// session describes a session without saying what became of a message. names has the channels that
// are known by their marks, and marks those that were asked about.
func session(process string, p trail.Past, names map[trail.Mark]string, marks []trail.Mark) Session {
	s := Session{Process: process, Number: p.Number, Portal: p.Portal, Transport: p.Kind, Began: p.Began / 1000, Ended: p.Ended / 1000, Reason: p.Reason,
		Polls: p.Polls, From: p.From, Sent: p.Sent, Through: p.Acked, AckedAt: p.AckedAt / 1000, Stale: p.Stale, Marks: p.Channels}
	if i := slices.IndexFunc(p.Channels, func(m trail.Mark) bool { return slices.Contains(marks, m) }); i >= 0 {
		s.Channel = names[p.Channels[i]]
	}
	return s
}

// order says which of several sessions of a receiver explains the most.
var order = []Why{Written, Behind, Trimmed, Expired, Missed, Unknown, Evicted, Position, Since, NotConnected}

// severe are the kinds of ignorance by which a session may be missing from a report.
var severe = []Missing{MissSilent, MissGone, MissSessions, MissMany, MissOthers}

// verdict says what became of a message for one receiver.
func (r *Report) verdict(f facts, m trail.Mark) Why {
	best := len(order)
	elsewhere := false
	for _, s := range r.Sessions {
		if !slices.Contains(s.Marks, m) {
			continue
		}
		if s.Why == OtherPortal {
			elsewhere = elsewhere || s.Began <= f.created/1000 && (s.Ended == 0 || s.Ended >= f.created/1000)
		} else if i := slices.Index(order, s.Why); i >= 0 {
			best = min(best, i)
		}
	}
	none := best == len(order) || order[best] == NotConnected
	switch {
	case !none && order[best] != Since && order[best] != Evicted:
		return order[best]
	case slices.ContainsFunc(r.Unknown, func(u Unsure) bool { return slices.Contains(severe, u.What) }):
		return Unknown
	case r.Message.State == StateGone:
		return Gone
	}
	for _, refused := range r.Refused {
		if refused.Portal == r.Portal && slices.Contains(refused.marks, m) {
			return refused.Why
		}
	}
	switch {
	case !none:
		return order[best]
	case elsewhere:
		return OtherPortal
	default:
		return NotConnected
	}
}
