package hub

import "pushgate/internal/proto"

// buffer holds the messages of an inbox or a batch. It comes from a pool, so that a session at rest
// has none.
type buffer struct {
	messages []*proto.Message
	bytes    int // of their bodies
}

func (h *Hub) newBuffer() *buffer { return h.buffers.Get().(*buffer) }

// release empties b, which may be nil, and returns it to the pool.
func (h *Hub) release(b *buffer) {
	if b == nil {
		return
	}
	clear(b.messages)
	b.messages, b.bytes = b.messages[:0], 0
	h.buffers.Put(b)
}

// full reports whether m does not fit into b.
func (h *Hub) full(b *buffer, m *proto.Message) bool {
	return len(b.messages) >= h.config.InboxMessages || b.bytes+m.Size() > h.config.InboxBytes
}

// split splits b into the messages up to an id and those after it. Either may be nil.
func (h *Hub) split(b *buffer, through proto.ID) (before, after *buffer) {
	for i, m := range b.messages {
		if !m.ID.After(through) {
			continue
		}
		if i == 0 {
			return nil, b
		}
		after = h.newBuffer()
		for _, m := range b.messages[i:] {
			after.messages = append(after.messages, m)
			after.bytes += m.Size()
		}
		clear(b.messages[i:])
		b.messages = b.messages[:i]
		return b, after
	}
	return b, nil
}
