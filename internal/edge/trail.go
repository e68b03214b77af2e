package edge

import (
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
	"pushgate/internal/transport"
)

// hubTrail returns what hubs report to; nil if nothing is remembered.
func (e *Edge) hubTrail() hub.Trail {
	if e.config.Trail == nil {
		return nil
	}
	return hubTrail{e.config.Trail}
}

// hubTrail records what hubs report. It implements [hub.Trail].
type hubTrail struct{ trail *trail.Edge }

// Read implements [hub.Trail].
func (t hubTrail) Read(s *hub.Session, after proto.ID, page *proto.Page) {
	if sub, ok := s.Owner().(*subscriber); ok {
		v := trail.Event{Kind: trail.Read, Session: sub.mark.Number, At: time.Now().UnixMicro(), After: after, Through: page.Through, Lost: page.Lost}
		if len(page.Messages) > 0 {
			v.First = page.Messages[0].ID
		}
		if after.After(page.Head) { // it is not trusted: the page begins with the log
			v.After = proto.ID{}
		}
		t.trail.Note(v)
	}
}

// Dropped implements [hub.Trail].
func (t hubTrail) Dropped(s *hub.Session, first, last proto.ID) {
	if sub, ok := s.Owner().(*subscriber); ok {
		t.trail.Note(trail.Event{Kind: trail.Dropped, Session: sub.mark.Number, At: time.Now().UnixMicro(), After: first, Through: last})
	}
}

// Written implements [transport.Owner].
func (s *subscriber) Written(w transport.Written) {
	if w.At-w.Due > trail.Prompt {
		s.edge.config.Trail.Note(trail.Event{Kind: trail.Late, Session: s.mark.Number, At: w.At, After: w.First, Through: w.Last})
	}
	s.step(trail.Step{At: w.At, What: trail.StepWritten, ID: w.First, Through: w.Last})
}

// step reports a step to those who follow the session live.
func (s *subscriber) step(step trail.Step) {
	if !s.edge.config.Trail.Followed() {
		return
	}
	if step.At == 0 {
		step.At = time.Now().UnixMicro()
	}
	if step.Detail == "" {
		step.Detail = string(s.kind)
	}
	step.Portal, step.Session = s.tenant.name, s.mark.Number
	s.edge.config.Trail.Step(step, s.reader.Channels)
}

// past returns what is known of s, whose session is session, as it is now.
func (s *subscriber) past(session *hub.Session) trail.Past {
	state := session.State()
	p := trail.Past{Number: s.mark.Number, Portal: s.tenant.name, Kind: string(s.kind), Channels: trail.MarksOf(s.reader.Channels), Began: s.mark.Began,
		Brought: s.cursor != nil, From: state.From, Sent: state.Sent, Returned: state.Returned, Stale: state.Stale || state.Awaits}
	if s.calls != nil {
		s.calls.mu.Lock()
		p.Acked, p.AckedAt = s.calls.acked, s.calls.ackedAt
		s.calls.mu.Unlock()
	}
	return p
}

// remember records the session, which has ended.
func (s *subscriber) remember(reason *transport.Reason) {
	if s.edge.config.Trail == nil {
		return
	}
	p := s.past(s.session)
	p.Ended, p.Reason = time.Now().UnixMicro(), reason.Label
	s.edge.config.Trail.End(s.mark, p)
	s.step(trail.Step{At: p.Ended, What: trail.StepEnded, Detail: reason.Label})
}

// rememberRefused records that a subscription to some channels was refused.
func (e *Edge) rememberRefused(s *serving, cause string, channels []channel.ID) {
	if e.config.Trail != nil {
		e.config.Trail.Refuse(trail.Refusal{Portal: s.Name(), At: time.Now().UnixMicro(), Cause: cause, Marks: trail.MarksOf(channels)})
	}
}

// mostSessions is how many sessions one answer has, at most.
const mostSessions = 200

// Sessions returns the living sessions of all portals that watch one of some channels. If only
// their marks are known, it has to look at all channels.
func (e *Edge) Sessions(ids []channel.ID, marks []trail.Mark) (found []trail.Past) {
	wanted := make(map[trail.Mark]bool, len(marks))
	for _, m := range marks {
		wanted[m] = true
	}
	for _, t := range e.present() {
		var sessions []*hub.Session
		if len(ids) > 0 {
			sessions = t.hub.Watching(ids, mostSessions)
		} else if len(marks) > 0 {
			sessions = t.hub.WatchingAny(func(id channel.ID) bool { return wanted[trail.MarkOf(id)] }, mostSessions)
		}
		for _, session := range sessions {
			if s, ok := session.Owner().(*subscriber); ok && len(found) < mostSessions {
				found = append(found, s.alive(session))
			}
		}
	}
	return found
}

// alive returns a living session, with the polls of the same client before it.
func (s *subscriber) alive(session *hub.Session) trail.Past {
	p := s.past(session)
	if before, ok := s.edge.config.Trail.Before(s.mark); ok {
		p.From, p.Began, p.Polls, p.Brought = before.From, before.Began, before.Polls+1, before.Brought
	}
	return p
}

// When returns when this edge heard of a message of a portal; nil if it has no record of that.
func (e *Edge) When(portal string, id proto.ID) *trail.Span {
	e.mu.Lock()
	t := e.tenants[portal]
	e.mu.Unlock()
	if t == nil {
		return e.config.Trail.When(portal, id, nil)
	}
	return e.config.Trail.When(portal, id, t.heard)
}

// Trail returns what this edge remembers; nil if it remembers nothing.
func (e *Edge) Trail() *trail.Edge { return e.config.Trail }
