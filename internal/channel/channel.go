// Package channel is the names of streams: channel ids, the signed lists of them that clients send,
// and the names that this service reserves.
//
// Nothing here takes a key: package sign makes and checks the signatures.
package channel

import (
	"encoding/hex"
	"errors"
	"log/slog"
)

// IDLen is the length of a channel id on the wire, in characters.
const IDLen = 32

// ID names one stream of messages inside a portal. It is a comparable value. It can only be made by
// checking a text, so it need not be checked again. The zero ID names no channel.
//
// On the wire an ID is 32 lower-case hexadecimal digits; the first generation also allowed other
// letters (see [Grammar]). A private id and its signature are enough to read the stream, so an ID
// logs itself cut short.
type ID struct{ text [IDLen]byte }

// Errors of parsing. They name no input: ids are secrets.
var (
	ErrNoID      = errors.New("no channel id")
	ErrMalformed = errors.New("malformed channel id")
	ErrTooMany   = errors.New("too many channel ids")
)

// Parse reads one id of either generation, without public part and signature. [ID.String] returns
// the same text again. It returns ErrMalformed for anything else.
func Parse(s string) (ID, error) {
	return Alphanumeric.parseID(s)
}

// FromBytes returns the id whose 32 hexadecimal digits spell b, the form that protobuf carries.
func FromBytes(b [IDLen / 2]byte) ID {
	var id ID
	hex.Encode(id.text[:], b[:])
	return id
}

// Bytes returns the 16 bytes that the digits of id spell. It reports false for an id of the first
// generation that has other letters than lower-case hexadecimal digits, which has no such form.
func (id ID) Bytes() (b [IDLen / 2]byte, ok bool) {
	if !Allows(Hex, id.text[:]) {
		return b, false
	}
	_, err := hex.Decode(b[:], id.text[:])
	return b, err == nil
}

// String returns the 32 characters of id as the wire has them, and the empty string for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.text[:])
}

// AppendText appends the 32 characters of id to b. It never fails.
func (id ID) AppendText(b []byte) ([]byte, error) {
	return append(b, id.text[:]...), nil
}

// IsZero reports whether id names no channel.
func (id ID) IsZero() bool { return id == ID{} }

// LogValue returns the first six characters of id: enough to tell streams apart, not enough to read
// one.
func (id ID) LogValue() slog.Value {
	if id.IsZero() {
		return slog.StringValue("")
	}
	return slog.StringValue(string(id.text[:6]) + "…")
}
