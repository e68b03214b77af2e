package edge

import (
	"sync"

	"pushgate/internal/proto"
)

// codec is a wire form of messages: what a client chose when it connected. There is one value of each.
type codec struct {
	opcode      byte   // of its WebSocket frames
	contentType string // of its polls' answers
	commands    bool   // what its clients send is a batch of requests; else it is ignored

	// frame gives the frame of one message, which is cached on it; nil if readers of this form must not have the message.
	frame func(m *proto.Message, sub *subscription) *proto.Frame
}

// The codecs. In both, payloads one after another are what several messages look like.
var (
	// textCodec withholds what clients send: its records do not say who a message is from, so that every reader would take it
	// for the portal's.
	textCodec = &codec{opcode: proto.OpText, contentType: plainText, frame: func(m *proto.Message, sub *subscription) *proto.Frame {
		if m.Sender.Type == proto.SenderClient {
			return nil
		}
		return m.Text(m.Via(sub.channels))
	}}
	binaryCodec = &codec{opcode: proto.OpBinary, contentType: "application/octet-stream", commands: true, frame: func(m *proto.Message, _ *subscription) *proto.Frame {
		return m.Binary()
	}}
)

// packet is what a batch of messages is on the wire: one WebSocket frame, or the answer of one poll. It must be released.
type packet struct {
	frame    []byte // whole, with its header; nil if the reader is to have nothing
	header   int    // bytes of it
	messages int
	newest   *proto.Message
	buffer   *[]byte // of a pool; nil if frame is cached on a message
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
	size := 0
	for _, m := range batch {
		if f := sub.codec.frame(m, sub); f != nil {
			one, out.newest = f, m
			out.messages++
			size += len(f.Payload())
		}
	}
	switch out.messages {
	case 0:
		return out
	case 1:
		out.frame = one.WebSocket()
		out.header = len(out.frame) - size
		return out
	}
	buffer, _ := p.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	b := proto.AppendFrameHeader((*buffer)[:0], sub.codec.opcode, size)
	out.header = len(b)
	for _, m := range batch {
		if f := sub.codec.frame(m, sub); f != nil {
			b = append(b, f.Payload()...)
		}
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
