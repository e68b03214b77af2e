// Package channel defines the names of streams: channel ids, the lists of them that clients send,
// and the names that this service reserves.
//
// It parses signatures, but does not check them: package sign does, which has the keys.
package channel

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"regexp"
)

// IDLen is the length of a channel id on the wire, in characters.
const IDLen = 32

// ID names one stream of messages inside a portal. It is comparable. Every ID has been checked when
// it was made, so it need not be checked again. The zero ID names no channel.
//
// On the wire an ID is 32 lower-case hexadecimal digits; the first generation also allowed other
// letters (see [Grammar]). A private id and its signature are enough to read the stream, so only a
// part of an ID is logged; see [ID.LogValue].
type ID struct{ text [IDLen]byte }

// Errors of parsing. They do not quote the input, because ids are secrets.
var (
	ErrNoID      = errors.New("no channel id")
	ErrMalformed = errors.New("malformed channel id")
	ErrTooMany   = errors.New("too many channel ids")
)

// Parse parses one id of either generation, without a public part or a signature. It returns
// ErrMalformed for anything else. [ID.String] returns the text that was parsed.
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

// String returns the 32 characters of id as they are on the wire, or the empty string for the zero
// ID.
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

// maxQuoted is how many bytes of a foreign text a log line quotes.
const maxQuoted = 100

// secretLike matches what may be an id, a key or a signature.
var secretLike = regexp.MustCompile(`[0-9A-Za-z]{24,}`)

// Quote returns a text that a client wrote, such as a host name, for a log line: without what may
// be an id or a signature, and at most 100 bytes of it.
func Quote(text string) string {
	text = secretLike.ReplaceAllStringFunc(text, func(secret string) string { return secret[:6] + "…" })
	return text[:min(len(text), maxQuoted)]
}
