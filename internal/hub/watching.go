package hub

import (
	"slices"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// State is where a session is in its portal's log.
type State struct {
	From     proto.ID // where it began: what is due to it comes after this
	Sent     proto.ID // everything up to here has been sent, or passed over because it was not due
	Returned proto.ID // what comes after Sent, up to here, is being sent
	Stale    bool     // it must read the log, or is reading it
	Awaits   bool     // it began without a position, and the log has not said yet where it ends
}

// State returns where s is.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{From: s.from, Sent: s.sent, Returned: s.delivered(), Stale: s.stale || s.reading != nil, Awaits: s.awaitsHead}
}

// Owner returns whom s was attached for; nil if nobody was named.
func (s *Session) Owner() any { return s.owner }

// AllSent says that what Next has returned has been sent. Only a caller that ends s without another
// call of Next has to say so.
func (s *Session) AllSent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = s.delivered()
}

// Watching returns the sessions that watch one of some channels, each once, at most so many.
func (h *Hub) Watching(ids []channel.ID, most int) (found []*Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		found = h.topics[id].addTo(found, most)
	}
	return found
}

// WatchingAny is Watching for channels of which only a property is known. It looks at all channels,
// but holds no lock for long.
func (h *Hub) WatchingAny(match func(channel.ID) bool, most int) (found []*Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	looks := 0
	for id, t := range h.topics {
		if looks++; looks%lookBatch == 0 {
			h.mu.Unlock()
			h.mu.Lock()
		}
		if match(id) {
			found = t.addTo(found, most)
		}
	}
	return found
}

// lookBatch is how many channels are looked at before others get the lock.
const lookBatch = 512

// addTo adds the watchers of t, which may be nil, to sessions. hub.mu is held.
func (t *topic) addTo(sessions []*Session, most int) []*Session {
	if t == nil {
		return sessions
	}
	for _, w := range t.watchers {
		if len(sessions) == most {
			break
		}
		if !slices.Contains(sessions, w.session) {
			sessions = append(sessions, w.session)
		}
	}
	return sessions
}
