package hub

import (
	"time"

	"pushgate/internal/proto"
)

// Gap says that messages are missing that the log could not hold, and where in a batch a note of it has its place.
type Gap struct {
	Index  int      // the note goes before the message of this index, or to the end; 0 but for rare cases
	ID     proto.ID // of the note: after all that was given before it, before all that is given after it, and of no message given
	After  proto.ID // the client had everything up to here; what is missing came after it
	Before proto.ID // the first message after what is missing, or if there is none yet the log's head
}

// losses is what a session knows of its gaps. s.mu guards it.
type losses struct {
	owed    bool      // the client is to be told
	after   proto.ID  // likewise: since here
	lost    proto.ID  // likewise: newest id that may be missing, zero if ids have begun anew
	counted proto.ID  // newest id that may be missing and was counted
	at      time.Time // when the client was told last
}

// had gives the id up to which the client has everything, be it stored or transient. s.mu is held.
func (s *Session) had() proto.ID {
	if s.told.After(s.cursor) {
		return s.told
	}
	return s.cursor
}

// gap notes what a page says is missing, and tells the client of it, unless it has been told of another gap a moment ago: then it is
// told with what comes later. out is what it is given now, had is the newest id that it had before. s.mu is held.
//
// A page may speak of a gap that is none, and does so on each page before the place of the gap. So a client is told only if an id
// between what it has and what it is given is in doubt, and once of each.
func (s *Session) gap(page proto.Page, out []*proto.Message, had proto.ID, untrusted bool) *Gap {
	since := had
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
			l.owed, l.after = true, had
		}
		if l.lost, l.counted = page.Lost, page.Lost; untrusted {
			l.lost, l.counted = proto.ID{}, page.Head
		}
	}
	if now := time.Now(); l.owed && (l.at.IsZero() || now.Sub(l.at) >= s.hub.config.GapInterval) {
		l.owed, l.at = false, now
		s.hub.stats.GapsTold.Add(1)
		return &Gap{Index: index, ID: id, After: l.after, Before: s.beyond(l.lost, page, out)}
	}
	return nil
}

// hole finds the first id that no message has which the client is given, between what it has and what it has been given with out. If
// there is none, it has everything up to there. s.mu is held.
func (s *Session) hole(out []*proto.Message, since proto.ID, untrusted bool) (index int, id proto.ID, ok bool) {
	for i, m := range out {
		if before, ok := m.ID.Previous(); ok && before.After(since) {
			return i, before, true
		}
		since = m.ID
	}
	// The cursor has passed all that the log had. An empty log that a client's ids are ahead of has but the id before all others.
	return len(out), s.cursor, s.cursor.After(since) || untrusted && len(out) == 0
}

// beyond gives the first id after what is lost that the client is given. s.mu is held.
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
