package hub

import (
	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Watchers returns how many sessions watch some channels. One that watches two of them counts
// twice.
func (h *Hub) Watchers(channels []channel.ID) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range channels {
		if t := h.topics[id]; t != nil {
			n += len(t.watchers)
		}
	}
	return n
}

// TakeChanges returns the channels whose number of sessions changed since the last call, with the
// present number.
func (h *Hub) TakeChanges() []proto.Presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes := make([]proto.Presence, 0, len(h.changed))
	for id := range h.changed {
		var sessions int
		if t := h.topics[id]; t != nil {
			sessions = len(t.watchers)
		}
		changes = append(changes, proto.Presence{Channel: id, Sessions: sessions})
	}
	clear(h.changed)
	return changes
}

// Presence returns all channels that have sessions, with their number.
func (h *Hub) Presence() []proto.Presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]proto.Presence, 0, len(h.topics))
	for id, t := range h.topics {
		all = append(all, proto.Presence{Channel: id, Sessions: len(t.watchers)})
	}
	return all
}
