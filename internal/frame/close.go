package frame

import "encoding/binary"

// CloseProtocol is the code of a connection that is closed for an [ErrProtocol] (RFC 6455, 7.4.1).
const CloseProtocol uint16 = 1002

// ClosePayload returns the payload of a close frame. A text of more than 123 bytes is cut off.
func ClosePayload(code uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, MaxControl), code)
	return append(b, text[:min(len(text), MaxControl-len(b))]...)
}

// ValidClose reports whether the payload of a close frame is one that a client may send: nothing,
// or a code that may be on the wire and a text (RFC 6455, 7.4).
func ValidClose(payload []byte) bool {
	if len(payload) < 2 {
		return len(payload) == 0
	}
	code := binary.BigEndian.Uint16(payload)
	switch code {
	case 1004, 1005, 1006, 1015: // never sent
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}
