package hub

import (
	"time"

	"pushgate/internal/proto"
)

// Gap reports messages that are missing because the log no longer holds them, and the position in a
// batch of the note about them.
type Gap struct {
	// The note goes before the message of this index, or to the end; nearly always 0.
	Index int
	// Id of the note: after everything returned before the note, before everything after it, and of
	// no message that is returned.
	ID    proto.ID
	After proto.ID // the client has everything up to here; what is missing came after it
	// The first message after what is missing, or the log's head if there is none yet.
	Before proto.ID
}

// losses is the record of a session's gaps. Session.mu guards it.
type losses struct {
	owed    bool      // a Gap must still be returned
	after   proto.ID  // if owed: where the gap begins
	lost    proto.ID  // if owed: newest id that may be missing; zero if the ids have begun anew
	counted proto.ID  // newest id that may be missing and has been counted
	at      time.Time // when the last Gap was returned
}

// delivered returns the id up to which the client has everything, stored or transient. s.mu is
// held.
func (s *Session) delivered() proto.ID {
	if s.newestReturned.After(s.cursor) {
		return s.newestReturned
	}
	return s.cursor
}

// gap records what a page reports missing, and returns a Gap for it. If the last one was returned
// less than Config.GapInterval ago, it returns nil, and a later batch has the Gap. out is what the
// session returns now, had the newest id that it returned before. s.mu is held.
//
// A page may report a gap that is none, and every page before a gap reports it. So a Gap is
// returned only if an id between what the client has and what it gets now may be missing, and once
// for each.
func (s *Session) gap(page proto.Page, out []*proto.Message, delivered proto.ID, untrusted bool) *Gap {
	since := delivered
	if untrusted {
		since = proto.ID{}
	}
	index, id, ok := s.hole(out, since, untrusted)
	if !ok {
		return nil
	}
	if s.losses == nil {
		s.losses = new(losses)
	}
	l := s.losses
	if page.Gap() && (untrusted || page.Lost.After(l.counted)) {
		s.hub.stats.Gaps.Add(1)
		if !l.owed {
			l.owed, l.after = true, delivered
		}
		if l.lost, l.counted = page.Lost, page.Lost; untrusted {
			l.lost, l.counted = proto.ID{}, page.Head
		}
	}
	if now := time.Now(); l.owed && (l.at.IsZero() || now.Sub(l.at) >= s.hub.config.GapInterval) {
		l.owed, l.at = false, now
		s.hub.stats.GapsReported.Add(1)
		return &Gap{Index: index, ID: id, After: l.after, Before: s.beyond(l.lost, page, out)}
	}
	return nil
}

// hole finds the first id between what the client has and the end of out that no message of out
// has. If there is none, the client has everything up to there. s.mu is held.
func (s *Session) hole(out []*proto.Message, since proto.ID, untrusted bool) (index int, id proto.ID, ok bool) {
	for i, m := range out {
		if before, ok := m.ID.Previous(); ok && before.After(since) {
			return i, before, true
		}
		since = m.ID
	}
	// The cursor has passed everything that the log held. For an empty log that the client's ids
	// are ahead of, only the id before all others is left.
	return len(out), s.cursor, s.cursor.After(since) || untrusted && len(out) == 0
}

// beyond returns the first id after what is lost that the client gets. s.mu is held.
func (s *Session) beyond(lost proto.ID, page proto.Page, out []*proto.Message) proto.ID {
	for _, m := range out {
		if m.ID.After(lost) {
			return m.ID
		}
	}
	if page.Head.After(s.cursor) {
		return page.Head
	}
	return s.cursor
}
