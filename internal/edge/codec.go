package edge

import (
	"slices"
	"sync"
	"sync/atomic"

	"pushgate/internal/contain"
	"pushgate/internal/proto"
)

// codec is a wire form of messages: what a client chose when it connected. There is one value of each.
type codec struct {
	name        string // for a successor
	opcode      byte   // of its WebSocket frames
	contentType string // of its polls' answers
	commands    bool   // what its clients send is a batch of requests; else it is ignored
	calls       bool   // likewise, but of version 5
	list        bool   // several messages are the elements of an array; else their payloads come one after another

	// frame gives the frame of one message, which is cached on it; nil if readers of this form must not have the message.
	frame func(m *proto.Message, sub *subscription) *proto.Frame
}

// The codecs.
var (
	// textCodec withholds what clients send: its records do not say who a message is from, so that every reader would take it
	// for the portal's.
	textCodec = &codec{name: "text", opcode: proto.OpText, contentType: plainText, frame: func(m *proto.Message, sub *subscription) *proto.Frame {
		if m.Sender.Type == proto.SenderClient {
			return nil
		}
		return m.Text(m.Via(sub.channels))
	}}
	binaryCodec = &codec{name: "binary", opcode: proto.OpBinary, contentType: "application/octet-stream", commands: true, frame: func(m *proto.Message, _ *subscription) *proto.Frame {
		return m.Binary()
	}}
	// jsonCodec and rpcCodec say whom a message is from: in the body's extra, where the server has written it.
	jsonCodec = &codec{name: "json", opcode: proto.OpText, contentType: "application/json", list: true, frame: func(m *proto.Message, sub *subscription) *proto.Frame {
		return m.JSON(m.Via(sub.channels))
	}}
	rpcCodec = &codec{name: "rpc", opcode: proto.OpText, contentType: "application/json", calls: true, list: true, frame: func(m *proto.Message, sub *subscription) *proto.Frame {
		return m.RPC(sub.user)
	}}
)

// codecs gives all of them.
func codecs() []*codec { return []*codec{textCodec, binaryCodec, jsonCodec, rpcCodec} }

// element gives what a frame is among those of several messages.
func (c *codec) element(f *proto.Frame) []byte {
	if c.list {
		return proto.Element(f)
	}
	return f.Payload()
}

// packet is what some messages are on the wire: one WebSocket frame, or the answer of one poll. It must be released, once.
type packet struct {
	frame    []byte // whole, with its header; nil if the reader is to have nothing
	header   int    // bytes of it
	messages int
	newest   *proto.Message // of those that a publisher has accepted; nil if none of them has
	joined   *joined        // nil if frame is cached on a message
}

// count notes that m is in p. A note was never published, so that it says nothing about how long messages take.
func (p *packet) count(m *proto.Message) {
	p.messages++
	if m.Type != gapType {
		p.newest = m
	}
}

// payload gives the packet without the header of its frame.
func (p packet) payload() []byte { return p.frame[p.header:] }

const (
	// packetBytes is how long the frame of several messages becomes on a WebSocket, about: who cannot take it at once holds it all the while.
	packetBytes = 64 << 10
	// keptBytes is the largest buffer that is kept for joining messages.
	keptBytes = 2 * packetBytes
)

// joined is the frame of several messages. All who are given the same share it.
type joined struct {
	codec  *codec
	frames []*proto.Frame // of the messages
	bytes  []byte
	header int // bytes of it
	users  atomic.Int32
}

// packets lends what packets are made with. It may be used concurrently.
type packets struct {
	presses, joined sync.Pool
	panics          contain.Report // of the encoding of messages; immutable
}

// press makes packets, for one goroutine. Readers of the same channels are often given the same one after another, so it keeps the last that
// it has joined.
type press struct {
	packets *packets
	frames  []*proto.Frame // of the packet that is made
	last    *joined        // nil if there is none
}

// press gives a press, which is to be put away.
func (ps *packets) press() *press {
	p, _ := ps.presses.Get().(*press)
	if p == nil {
		p = &press{packets: ps}
	}
	return p
}

// putAway ends the use of a press.
func (p *press) putAway() {
	p.keep(nil)
	clear(p.frames[:cap(p.frames)])
	p.packets.presses.Put(p)
}

// keep has p keep j, which may be nil, in place of what it kept.
func (p *press) keep(j *joined) {
	if p.last != nil {
		p.packets.leave(p.last)
	}
	p.last = j
}

// encode gives the packet of the first messages of a batch for a reader, and those that go beyond so many bytes. One message is its cached
// frame, which costs nothing.
func (p *press) encode(sub *subscription, batch []*proto.Message, most int) (out packet, rest []*proto.Message) {
	p.frames = p.frames[:0]
	size := 0 // of the elements
	for full := false; !full && len(batch) > 0; {
		size, full, batch = p.collect(&out, sub, batch, size, most)
	}
	if len(batch) > 0 {
		rest = batch
	}
	switch len(p.frames) {
	case 0:
		return out, nil
	case 1:
		out.frame = p.frames[0].WebSocket()
		out.header = len(out.frame) - len(p.frames[0].Payload())
		return out, rest
	}
	if p.last == nil || p.last.codec != sub.codec || !slices.Equal(p.last.frames, p.frames) {
		p.keep(p.packets.join(sub.codec, p.frames, size))
	}
	p.last.users.Add(1)
	out.frame, out.header, out.joined = p.last.bytes, p.last.header, p.last
	return out, rest
}

// collect takes the frames of messages for a reader, from the first one of a batch on, and returns how many bytes their elements
// have, whether that is as much as goes into the packet, and the messages that are left. It returns early after a panic over a
// message, which is skipped: it would end every connection that it is for, again whenever they come back.
func (p *press) collect(out *packet, sub *subscription, batch []*proto.Message, before, most int) (size int, full bool, rest []*proto.Message) {
	size, rest = before, batch
	defer p.packets.panics.Recover("encode", func() { rest = rest[1:] })
	for ; len(rest) > 0; rest = rest[1:] {
		f := sub.codec.frame(rest[0], sub)
		if f == nil {
			continue
		}
		n := len(sub.codec.element(f))
		if len(p.frames) > 0 && size+n > most {
			return size, true, rest
		}
		p.frames = append(p.frames, f)
		out.count(rest[0])
		size += n
	}
	return size, false, nil
}

// join makes one frame of several, whose elements have so many bytes. It has one user.
func (ps *packets) join(c *codec, frames []*proto.Frame, size int) *joined {
	if c.list {
		size += len(frames) + 1 // brackets and commas
	}
	j, _ := ps.joined.Get().(*joined)
	if j == nil {
		j = new(joined)
	}
	j.codec, j.frames = c, append(j.frames[:0], frames...)
	b := proto.AppendFrameHeader(slices.Grow(j.bytes[:0], proto.MaxFrameHeader+size), c.opcode, size)
	j.header = len(b)
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
	j.bytes = b
	j.users.Store(1)
	return j
}

// release ends the life of a packet.
func (ps *packets) release(out packet) {
	if out.joined != nil {
		ps.leave(out.joined)
	}
}

// leave takes one user off j.
func (ps *packets) leave(j *joined) {
	if j.users.Add(-1) == 0 && cap(j.bytes) <= keptBytes {
		clear(j.frames)
		ps.joined.Put(j)
	}
}
