package proto

import (
	"encoding/binary"
	"strconv"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
)

// Frame is one wire form of a message, made once and written to many: the header of an unmasked, final WebSocket frame
// (RFC 6455, 5.2) and its payload in one piece. It must not be changed.
type Frame struct {
	bytes  []byte
	header int
}

// Opcodes of the data frames that a [Frame] can be (RFC 6455, 11.8).
const (
	OpText   byte = 1
	OpBinary byte = 2
)

// MaxFrameHeader is what an unmasked header takes at most: two bytes and a length of eight.
const MaxFrameHeader = 10

// AppendFrameHeader appends the header of an unmasked, final WebSocket frame with a payload of size bytes.
func AppendFrameHeader(b []byte, opcode byte, size int) []byte {
	b = append(b, 0x80|opcode)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// NewFrame makes a frame of a payload, which it copies.
func NewFrame(opcode byte, payload []byte) *Frame {
	return seal(opcode, append(unsealed(len(payload)), payload...))
}

// unsealed gives what a payload of about so many bytes is to be appended to, before it is sealed.
func unsealed(size int) []byte { return make([]byte, MaxFrameHeader, MaxFrameHeader+size) }

// seal makes a frame of a payload in its place: the header, whose length is known only now, goes right before it.
func seal(opcode byte, b []byte) *Frame {
	var header [MaxFrameHeader]byte
	h := AppendFrameHeader(header[:0], opcode, len(b)-MaxFrameHeader)
	b = b[MaxFrameHeader-len(h):]
	copy(b, h)
	return &Frame{bytes: b, header: len(h)}
}

// WebSocket gives the whole frame, header and payload.
func (f *Frame) WebSocket() []byte { return f.bytes }

// Payload gives what is in the frame: the whole answer of a long poll.
func (f *Frame) Payload() []byte { return f.bytes[f.header:] }

// frames caches one wire form of a message for each of its receivers.
type frames struct {
	first atomic.Pointer[Frame] // for the first receiver: most messages have but one
	rest  atomic.Pointer[[]atomic.Pointer[Frame]]
}

// slot gives the place of the form for m.Receivers[via].
func (f *frames) slot(m *Message, via int) *atomic.Pointer[Frame] {
	if via == 0 {
		return &f.first
	}
	slots := f.rest.Load()
	if slots == nil {
		fresh := make([]atomic.Pointer[Frame], len(m.Receivers)-1)
		if f.rest.CompareAndSwap(nil, &fresh) {
			slots = &fresh
		} else {
			slots = f.rest.Load()
		}
	}
	return &(*slots)[via-1]
}

// aroundBody is what a record has beside its body, about, in bytes.
const aroundBody = 200

// frame returns the form for a reader that has m by way of m.Receivers[via]; the first call writes it. It is nil where via
// is negative: the log can hold a record whose receivers lack the channel in whose list it stands.
func (f *frames) frame(m *Message, via int, write func(b []byte, m *Message, via int) []byte) *Frame {
	if via < 0 {
		return nil
	}
	slot := f.slot(m, via)
	if made := slot.Load(); made != nil {
		return made
	}
	// Two readers may both get here; one record is as good as the other.
	made := seal(OpText, write(unsealed(len(m.Body)+aroundBody), m, via))
	slot.Store(made)
	return made
}

// The markers of a text record. A body never contains one: CheckBody sees to it.
const (
	textBegin = "#!NGINXNMS!#"
	textEnd   = "#!NGINXNME!#"
)

// Text returns the text record of m for a reader that has it by way of m.Receivers[via] (docs/protocol.md, Text records), or
// nil if via is negative. The frame is made at the first call for each receiver and cached.
func (m *Message) Text(via int) *Frame { return m.text.frame(m, via, appendText) }

// timeFormat is the date of HTTP (RFC 9110, 5.6.7), for times in UTC.
const timeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

func appendText(b []byte, m *Message, via int) []byte {
	b = appendHead(append(b, textBegin...), m, via)
	b = append(b, `","text":`...)
	b = append(b, m.Body...)
	return append(b, "}"+textEnd...)
}

// appendHead writes the fields before the body, in the original's order, up to the quotation mark that closes the last; tag and
// time are those of the message's creation.
func appendHead(b []byte, m *Message, via int) []byte {
	created := m.Created.UTC()
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, textID(m.ID.Sequence), 10)
	b = append(b, `,"mid":"`...)
	b, _ = m.ID.AppendText(b)
	b = append(b, `","channel":"`...)
	b = appendVia(b, m.Receivers[via])
	b = append(b, `","tag":"`...)
	b = appendPadded(b, uint64(created.Nanosecond()/int(time.Millisecond)), 3)
	b = append(b, `","time":"`...)
	return created.AppendFormat(b, timeFormat)
}

// appendVia writes the channel by which a reader has a message. What this service has named itself is nobody's business: it gets the
// dash that the original writes for all.
func appendVia(b []byte, id channel.ID) []byte {
	if id.IsReserved() {
		return append(b, '-')
	}
	if public, ok := id.PublicID(); ok {
		id = public
	}
	b, _ = id.AppendText(b)
	return b
}

// textID is the sequence as JavaScript prints it, which the original is written in: a double.
func textID(sequence uint64) uint64 { return uint64(float64(sequence)) }
