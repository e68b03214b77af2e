package load

import (
	"encoding/binary"
	"errors"
)

// Opcodes (RFC 6455, 11.8).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// The key need not be random to test a server. The answer to this one is in RFC 6455, 1.3.
const (
	handshakeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeAnswer = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

var errFrame = errors.New("a frame that breaks RFC 6455, or is fragmented")

// frame is a message from the server.
type frame struct {
	opcode  byte
	payload []byte
	used    int
}

// parseFrame reads one frame. Used is 0 if it is not complete. Servers of this kind send every
// message as one frame, so a fragmented one is a fault.
func parseFrame(b []byte) (f frame, err error) {
	if len(b) < 2 {
		return f, nil
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return f, errFrame
	}
	f.opcode = b[0] & 0x0f
	size, start := uint64(b[1]), 2
	switch size {
	case 126:
		start = 4
	case 127:
		start = 10
	}
	if len(b) < start {
		return frame{}, nil
	}
	switch start {
	case 4:
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > 1<<30 {
		return f, errFrame
	}
	if len(b) < start+int(size) {
		return frame{}, nil
	}
	f.payload, f.used = b[start:start+int(size)], start+int(size)
	return f, nil
}

// appendFrame appends a frame of a client, of less than 64 KiB. Its mask is zero, which changes
// nothing: the mask is against caches on the way that would take a frame for a request (RFC 6455,
// 10.3), and what is sent here is never one.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}
