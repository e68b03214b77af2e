package channel

import "encoding/base64"

// Private and public ids are two name spaces: a portal shows a user's private id to nobody else,
// but a client may write to any public id that it has a signature for, and both look the same. So
// messages to a public id have a channel of their own, whose text begins with a character that no
// grammar of the wire allows.
const (
	publicMark = '+'
	// Where the 16 bytes of the public id begin, as 22 characters of base64.
	publicDigits = IDLen - 22
)

var publicText = base64.RawURLEncoding.Strict()

// ForPublic returns the channel of messages to a public id. It is the zero ID if public is the
// zero ID or has other characters than lower-case hexadecimal digits, which no public id has.
func ForPublic(public ID) (id ID) {
	raw, ok := public.Bytes()
	if !ok {
		return id
	}
	for i := range publicDigits {
		id.text[i] = '0'
	}
	id.text[0] = publicMark
	publicText.Encode(id.text[publicDigits:], raw[:])
	return id
}

// PublicID returns the public id whose channel id is, and whether it is one: the inverse of
// [ForPublic].
func (id ID) PublicID() (public ID, ok bool) {
	if id.text[0] != publicMark {
		return public, false
	}
	var raw [IDLen / 2]byte
	if _, err := publicText.Decode(raw[:], id.text[publicDigits:]); err != nil {
		return public, false
	}
	public = FromBytes(raw)
	return public, ForPublic(public) == id
}
