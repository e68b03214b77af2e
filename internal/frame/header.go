package frame

import "encoding/binary"

// MaxHeader is the size of the longest unmasked header, in bytes: two and a length of eight.
const MaxHeader = 10

// AppendHeader appends the header of an unmasked, final frame with a payload of size bytes (RFC
// 6455, 5.2).
func AppendHeader(b []byte, opcode byte, size int) []byte {
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

// Append appends an unmasked, final frame.
func Append(b []byte, opcode byte, payload []byte) []byte {
	return append(AppendHeader(b, opcode, len(payload)), payload...)
}
