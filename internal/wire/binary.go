package wire

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgate/internal/channel"
	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// Numbers of fields in internal/wire/pb/push.proto.
const (
	batchResponses   protowire.Number = 1
	responseOutgoing protowire.Number = 1
	outgoingMessages protowire.Number = 1
	outgoingID       protowire.Number = 1
	outgoingBody     protowire.Number = 2
	outgoingExpiry   protowire.Number = 3
	outgoingCreated  protowire.Number = 4
	outgoingSender   protowire.Number = 5
	senderType       protowire.Number = 1
	senderID         protowire.Number = 2
)

const (
	packedID      = proto.IDLen / 2   // bytes of a message id
	packedChannel = channel.IDLen / 2 // bytes of a channel id
)

// BinaryFrame returns the binary frame of m: a ResponseBatch with one message (docs/protocol.md,
// The binary dialect). The payloads of several messages, one after another, are one batch of
// several responses, because protobuf joins repeated fields. The frame is cached on the message.
func BinaryFrame(m *proto.Message) *Frame {
	return cached(&encodingsOf(m).binary, func() *Frame { return newBinaryFrame(m) })
}

// newBinaryFrame returns what the generated code would write, byte for byte. It computes all sizes
// first, so that it allocates once.
func newBinaryFrame(m *proto.Message) *Frame {
	sender := senderSize(m.Sender)
	expiry := expirySeconds(m.TTL)
	created := uint32(max(m.Created.Unix(), 0))
	message := fieldSize(packedID) + fieldSize(sender)
	if len(m.Body) > 0 {
		message += fieldSize(len(m.Body))
	}
	if expiry > 0 {
		message += 1 + protowire.SizeVarint(expiry)
	}
	if created > 0 {
		message += 1 + protowire.SizeFixed32()
	}
	outgoing := fieldSize(message)
	response := fieldSize(outgoing)
	batch := fieldSize(response)

	b := frame.AppendHeader(make([]byte, 0, frame.MaxHeader+batch), frame.OpBinary, batch)
	header := len(b)
	b = appendLength(b, batchResponses, response)
	b = appendLength(b, responseOutgoing, outgoing)
	b = appendLength(b, outgoingMessages, message)
	b = appendPacked(appendLength(b, outgoingID, packedID), m.ID)
	if len(m.Body) > 0 {
		b = append(appendLength(b, outgoingBody, len(m.Body)), m.Body...)
	}
	if expiry > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, outgoingExpiry, protowire.VarintType), expiry)
	}
	if created > 0 {
		b = protowire.AppendFixed32(protowire.AppendTag(b, outgoingCreated, protowire.Fixed32Type), created)
	}
	b = appendSender(appendLength(b, outgoingSender, sender), m.Sender)
	return &Frame{bytes: b, header: header}
}

// fieldSize returns the length of a field: a tag of one byte, the length of the value, and its size
// bytes.
func fieldSize(size int) int { return 1 + protowire.SizeBytes(size) }

func appendLength(b []byte, number protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.BytesType), uint64(size))
}

// senderSize and appendSender leave out what is not known. The field itself is always there:
// readers use it without a check.
func senderSize(s proto.Sender) (size int) {
	if s.Type != proto.SenderUnknown {
		size += 2
	}
	if _, ok := s.ID.Bytes(); ok {
		size += fieldSize(packedChannel)
	}
	return size
}

func appendSender(b []byte, s proto.Sender) []byte {
	if s.Type != proto.SenderUnknown {
		b = protowire.AppendVarint(protowire.AppendTag(b, senderType, protowire.VarintType), uint64(s.Type))
	}
	if raw, ok := s.ID.Bytes(); ok {
		b = append(appendLength(b, senderID, packedChannel), raw[:]...)
	}
	return b
}

// expirySeconds rounds up, because 0 would be a transient message.
func expirySeconds(ttl time.Duration) uint64 {
	return uint64((ttl + time.Second - 1) / time.Second)
}

// appendPacked appends an id with two digits to a byte.
func appendPacked(b []byte, id proto.ID) []byte {
	var digits [proto.IDLen]byte
	text, _ := id.AppendText(digits[:0])
	for i := 0; i < proto.IDLen; i += 2 {
		b = append(b, (text[i]-'0')<<4|(text[i+1]-'0'))
	}
	return b
}
