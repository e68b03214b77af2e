package wire

import (
	"slices"
	"sync"
	"sync/atomic"

	"pushgate/internal/contain"
	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// Packet is some messages as they are sent: one WebSocket frame, the answer to one poll, or some
// events of a stream. The zero packet is empty. Release each packet once, by [Pool.Release].
type Packet struct {
	Frame    []byte // whole, with its header; nil if the reader must get nothing
	Messages int
	Newest   *proto.Message // of those that were published; nil if none was
	Oldest   *proto.Message // likewise

	header int          // length of the header, in bytes
	shared *sharedFrame // nil if Frame is cached on a message
}

// Payload returns the packet without the header of its WebSocket frame.
func (p Packet) Payload() []byte { return p.Frame[p.header:] }

// count notes that m is in p. A note of a gap was not published, so it is never the newest or the
// oldest.
func (p *Packet) count(m *proto.Message) {
	p.Messages++
	if m.Type != GapType {
		p.Newest = m
		if p.Oldest == nil {
			p.Oldest = m
		}
	}
}

// GapType is the type of the notes that say that messages are missing (docs/protocol.md, Gaps).
const GapType = "pushgate_gap"

const (
	// PacketBytes is about the largest size of a frame of several messages, in bytes. A frame
	// stays in memory until the client has received it.
	PacketBytes = 64 << 10
	// keptBytes is the largest buffer that is pooled.
	keptBytes = 2 * PacketBytes
)

// sharedFrame is one frame of several messages. All readers that get the same messages share it.
type sharedFrame struct {
	codec  *Codec
	frames []*Frame // of the messages
	bytes  []byte
	header int // length of the header, in bytes
	users  atomic.Int32
}

// Pool holds encoders and the memory of packets for reuse. The zero value is ready. It may be used
// concurrently.
type Pool struct {
	Panics contain.Report // for panics while messages are encoded; set before the first use

	encoders, shared sync.Pool
}

// Encoder makes packets. Only one goroutine may use it at a time. It keeps the last frame that it
// made of several messages, because the next readers often get the same messages.
type Encoder struct {
	pool     *Pool
	frames   []*Frame // of the packet that is being made
	messages []*proto.Message
	last     *sharedFrame // nil if there is none
}

// Encoder returns an encoder, which must be released.
func (p *Pool) Encoder() *Encoder {
	e, _ := p.encoders.Get().(*Encoder)
	if e == nil {
		e = &Encoder{pool: p}
	}
	return e
}

// Release returns an encoder to its pool. It must not be used afterwards.
func (e *Encoder) Release() {
	e.keep(nil)
	clear(e.frames[:cap(e.frames)])
	clear(e.messages[:cap(e.messages)])
	e.pool.encoders.Put(e)
}

// Messages returns the messages of the packet that e made last. They are valid until the next one.
func (e *Encoder) Messages() []*proto.Message { return e.messages }

// keep keeps f, which may be nil, in place of the frame that e kept.
func (e *Encoder) keep(f *sharedFrame) {
	if e.last != nil {
		e.pool.releaseShared(e.last)
	}
	e.last = f
}

// Encode returns a packet with the first messages of a batch, for a reader, and the messages that
// are left. The limit of the messages' bytes is most; only a single message may be larger. It is
// sent as its cached frame, without a copy, unless it is an event.
func (e *Encoder) Encode(r *Reader, batch []*proto.Message, most int) (out Packet, rest []*proto.Message) {
	e.frames, e.messages = e.frames[:0], e.messages[:0]
	size := 0 // of the elements
	for full := false; !full && len(batch) > 0; {
		size, full, batch = e.collect(&out, r, batch, size, most)
	}
	if len(batch) > 0 {
		rest = batch
	}
	switch {
	case len(e.frames) == 0:
		return out, nil
	case len(e.frames) == 1 && !r.Codec.events:
		out.Frame = e.frames[0].WebSocket()
		out.header = len(out.Frame) - len(e.frames[0].Payload())
		return out, rest
	}
	if e.last == nil || e.last.codec != r.Codec || !slices.Equal(e.last.frames, e.frames) {
		e.keep(e.join(r.Codec, size))
	}
	e.last.users.Add(1)
	out.Frame, out.header, out.shared = e.last.bytes, e.last.header, e.last
	return out, rest
}

// collect adds the frames of messages for a reader, from the first one of a batch on, until the
// packet is full. It returns the bytes of the elements, whether the packet is full, and the
// messages that are left. After a panic over a message it skips the message and returns early.
// Otherwise the panic would end every connection of the receivers, each time they come back.
func (e *Encoder) collect(out *Packet, r *Reader, batch []*proto.Message, before, most int) (size int, full bool, rest []*proto.Message) {
	size, rest = before, batch
	defer e.pool.Panics.Recover("encode", func() { rest = rest[1:] })
	for ; len(rest) > 0; rest = rest[1:] {
		f := r.Codec.frame(rest[0], r)
		if f == nil {
			continue
		}
		n := len(r.Codec.element(f))
		if len(e.frames) > 0 && size+n > most {
			return size, true, rest
		}
		e.frames, e.messages = append(e.frames, f), append(e.messages, rest[0])
		out.count(rest[0])
		size += n
	}
	return size, false, nil
}

// join makes one frame of those in e, whose elements have size bytes. The frame has one user.
func (e *Encoder) join(c *Codec, size int) *sharedFrame {
	s, _ := e.pool.shared.Get().(*sharedFrame)
	if s == nil {
		s = new(sharedFrame)
	}
	s.codec, s.frames = c, append(s.frames[:0], e.frames...)
	if c.events {
		s.bytes, s.header = s.bytes[:0], 0
		for i, f := range e.frames {
			s.bytes = appendEvent(s.bytes, e.messages[i], f)
		}
	} else {
		s.bytes, s.header = appendJoined(s.bytes[:0], c, e.frames, size)
	}
	s.users.Store(1)
	return s
}

// appendJoined appends one frame of several, whose elements have size bytes.
func appendJoined(b []byte, c *Codec, frames []*Frame, size int) (joined []byte, header int) {
	if c.list {
		size += len(frames) + 1 // brackets and commas
	}
	b = frame.AppendHeader(slices.Grow(b, frame.MaxHeader+size), c.Opcode, size)
	header = len(b)
	separator := byte('[')
	for _, f := range frames {
		if c.list {
			b = append(b, separator)
			separator = ','
		}
		b = append(b, c.element(f)...)
	}
	if c.list {
		b = append(b, ']')
	}
	return b, header
}

// Release returns the memory of a packet to the pool. Its bytes must not be used afterwards.
func (p *Pool) Release(out Packet) {
	if out.shared != nil {
		p.releaseShared(out.shared)
	}
}

// releaseShared ends one use of a shared frame, and pools its memory after the last one.
func (p *Pool) releaseShared(s *sharedFrame) {
	if s.users.Add(-1) == 0 && cap(s.bytes) <= keptBytes {
		clear(s.frames)
		p.shared.Put(s)
	}
}
