// Package wire writes messages as clients read them: text records, JSON records, protobuf batches,
// JSON-RPC requests and server-sent events (docs/protocol.md).
//
// Its functions may be called concurrently. Frames are cached on the message.
package wire

import (
	"pushgate/internal/channel"
	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// Content types of answers.
const (
	PlainText   = "text/plain"
	octetStream = "application/octet-stream"
	jsonText    = "application/json"
)

// Reader is what the form of a message depends on. It is immutable.
type Reader struct {
	Codec    *Codec
	Channels []channel.ID // that the reader watches
	User     int64        // of version 5; 0 if it is not known
}

// Codec is a wire form of messages, which a client chooses when it connects. There is one value of
// each; compare codecs by address.
type Codec struct {
	Name        string // unique; names the form to the successor of a process
	Opcode      byte   // of its WebSocket frames (RFC 6455, 11.8)
	ContentType string // of the answers of polls
	Commands    bool   // its clients send batches of requests of the binary dialect
	Calls       bool   // its clients send calls of version 5

	list   bool // several messages are an array; else their payloads follow one another
	events bool // messages are server-sent events, and never one cached frame

	// frame returns the frame of one message, which is cached on the message. It returns nil if
	// readers of this form must not get the message, or if r has none of its channels.
	frame func(m *proto.Message, r *Reader) *Frame
}

// The codecs.
var (
	// Text has text records (docs/protocol.md, Text records). It leaves out messages of clients:
	// its records do not name the sender, so a reader would believe that they are the portal's.
	Text = &Codec{Name: "text", Opcode: frame.OpText, ContentType: PlainText, frame: func(m *proto.Message, r *Reader) *Frame {
		if m.Sender.Type == proto.SenderClient {
			return nil
		}
		return TextFrame(m, m.Via(r.Channels))
	}}

	// Binary has protobuf batches (docs/protocol.md, The binary dialect).
	Binary = &Codec{Name: "binary", Opcode: frame.OpBinary, ContentType: octetStream, Commands: true,
		frame: func(m *proto.Message, _ *Reader) *Frame { return BinaryFrame(m) }}

	// JSON has arrays of JSON records (docs/protocol.md, JSON records), whose extra names the
	// sender of a client's message.
	JSON = &Codec{Name: "json", Opcode: frame.OpText, ContentType: jsonText, list: true, frame: jsonFrame}

	// RPC has JSON-RPC requests (docs/protocol.md, JSON-RPC).
	RPC = &Codec{Name: "rpc", Opcode: frame.OpText, ContentType: jsonText, Calls: true, list: true,
		frame: func(m *proto.Message, r *Reader) *Frame { return RPCFrame(m, r.User) }}

	// Events has server-sent events of JSON records (docs/protocol.md, Server-sent events). It is
	// for streams only.
	Events = &Codec{Name: "events", ContentType: "text/event-stream", events: true, frame: jsonFrame}
)

func jsonFrame(m *proto.Message, r *Reader) *Frame { return JSONFrame(m, m.Via(r.Channels)) }

// ByName returns the codec of that name for WebSockets and polls, or nil if there is none.
func ByName(name string) *Codec {
	for _, c := range []*Codec{Text, Binary, JSON, RPC} {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// element returns the bytes of a frame in a frame of several messages.
func (c *Codec) element(f *Frame) []byte {
	if c.list {
		return element(f)
	}
	return f.Payload()
}
