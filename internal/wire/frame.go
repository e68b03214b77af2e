package wire

import (
	"sync/atomic"

	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// Frame is one message in one form, encoded once and sent to many: an unmasked, final WebSocket
// frame (RFC 6455, 5.2) in one piece. It is immutable.
type Frame struct {
	bytes  []byte
	header int // length of the header, in bytes
}

// WebSocket returns the whole frame, header and payload. It must not be changed.
func (f *Frame) WebSocket() []byte { return f.bytes }

// Payload returns the frame without its header, which is also the whole answer of a long poll. It
// must not be changed.
func (f *Frame) Payload() []byte { return f.bytes[f.header:] }

// unsealed returns a buffer for a payload of about size bytes. Append the payload, then call
// [seal].
func unsealed(size int) []byte { return make([]byte, frame.MaxHeader, frame.MaxHeader+size) }

// seal makes a frame of the payload in b, which [unsealed] returned. The header, whose length is
// known only now, goes right before the payload.
func seal(opcode byte, b []byte) *Frame {
	var header [frame.MaxHeader]byte
	h := frame.AppendHeader(header[:0], opcode, len(b)-frame.MaxHeader)
	b = b[frame.MaxHeader-len(h):]
	copy(b, h)
	return &Frame{bytes: b, header: len(h)}
}

// aroundBody is about how many bytes a frame has in addition to the body.
const aroundBody = 200

// encodings caches the frames of one message.
type encodings struct {
	text, json perReceiver
	binary     atomic.Pointer[Frame]
	rpc        atomic.Pointer[Frame] // for all readers without parameters of their own

	others atomic.Int64 // bytes of the frames of text and json that are not for the first receiver
}

// encodingsOf returns the cache of m.
func encodingsOf(m *proto.Message) *encodings {
	e, _ := m.Encodings.Load().(*encodings)
	if e == nil {
		m.Encodings.CompareAndSwap(nil, new(encodings))
		e = m.Encodings.Load().(*encodings)
	}
	return e
}

// cached returns the frame in a slot. The first call encodes it. Two readers may do so at the same
// time; both frames are equal.
func cached(slot *atomic.Pointer[Frame], encode func() *Frame) *Frame {
	f := slot.Load()
	if f == nil {
		f = encode()
		slot.Store(f)
	}
	return f
}

// perReceiver caches one form of a message for each of its receivers.
type perReceiver struct {
	first atomic.Pointer[Frame] // for the first receiver: most messages have no other
	rest  atomic.Pointer[[]atomic.Pointer[Frame]]
}

// slot returns the slot of m.Receivers[via].
func (p *perReceiver) slot(m *proto.Message, via int) *atomic.Pointer[Frame] {
	if via == 0 {
		return &p.first
	}
	slots := p.rest.Load()
	if slots == nil {
		fresh := make([]atomic.Pointer[Frame], len(m.Receivers)-1)
		p.rest.CompareAndSwap(nil, &fresh)
		slots = p.rest.Load()
	}
	return &(*slots)[via-1]
}

// mostOthers bounds encodings.others. It is close to what hub counts for a message that it keeps:
// with a frame for each receiver, a large message to many would take many times as much.
func mostOthers(m *proto.Message) int64 { return int64(1<<10 + 2*len(m.Body) + 64*len(m.Receivers)) }

// frame returns a form of m for a reader that gets m through m.Receivers[via]. It returns nil if
// via is negative: the log may hold a record in the list of a channel that is not one of its
// receivers.
func (e *encodings) frame(p *perReceiver, m *proto.Message, via int, appendTo func(b []byte, m *proto.Message, via int) []byte) *Frame {
	if via < 0 {
		return nil
	}
	slot := p.slot(m, via)
	f := slot.Load()
	if f != nil {
		return f
	}
	f = seal(frame.OpText, appendTo(unsealed(len(m.Body)+aroundBody), m, via))
	switch size := int64(cap(f.bytes)); {
	case via == 0:
		slot.Store(f) // two readers may do so at the same time; both frames are equal
	case e.others.Add(size) > mostOthers(m) || !slot.CompareAndSwap(nil, f):
		e.others.Add(-size)
	}
	return f
}
