package edge

import (
	"sync"

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

// packet is what a batch of messages is on the wire: one WebSocket frame, or the answer of one poll. It must be released.
type packet struct {
	frame    []byte // whole, with its header; nil if the reader is to have nothing
	header   int    // bytes of it
	messages int
	newest   *proto.Message // of those that a publisher has accepted; nil if none of them has
	buffer   *[]byte        // of a pool; nil if frame is cached on a message
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

// joinedBuffer is the largest buffer that is kept for joining messages, in bytes.
const joinedBuffer = 64 << 10

// packets turns batches into packets. It may be used concurrently.
type packets struct{ buffers sync.Pool }

// encode gives the packet of a batch for a reader. One message is its cached frame, which costs nothing.
func (p *packets) encode(sub *subscription, batch []*proto.Message) (out packet) {
	var one *proto.Frame
	size := 0 // of the elements
	for _, m := range batch {
		if f := sub.codec.frame(m, sub); f != nil {
			one = f
			out.count(m)
			size += len(sub.codec.element(f))
		}
	}
	switch out.messages {
	case 0:
		return out
	case 1:
		out.frame = one.WebSocket()
		out.header = len(out.frame) - len(one.Payload())
		return out
	}
	if sub.codec.list {
		size += out.messages + 1 // brackets and commas
	}
	buffer, _ := p.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	b := proto.AppendFrameHeader((*buffer)[:0], sub.codec.opcode, size)
	out.header = len(b)
	separator := byte('[')
	for _, m := range batch {
		f := sub.codec.frame(m, sub)
		if f == nil {
			continue
		}
		if sub.codec.list {
			b = append(b, separator)
			separator = ','
		}
		b = append(b, sub.codec.element(f)...)
	}
	if sub.codec.list {
		b = append(b, ']')
	}
	*buffer = b
	out.frame, out.buffer = b, buffer
	return out
}

// release ends the life of a packet.
func (p *packets) release(out packet) {
	if out.buffer != nil && cap(*out.buffer) <= joinedBuffer {
		p.buffers.Put(out.buffer)
	}
}
