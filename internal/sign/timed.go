package sign

import (
	"bytes"
	"encoding/hex"
	"strconv"
)

// timedTag is the beginning of the text that is signed for a limited time. [Signer.VerifyBody] and
// [Signer.VerifyQuestion] refuse a text that begins with it, so no kind of signature can be used as
// the other.
const timedTag = "pushgate-timestamp:"

// Post is what a signature with a time covers. Unlike a signature of a body alone, it also covers
// the channels that the body is for.
type Post struct {
	Time     int64  // unix seconds at which it was signed
	Channels string // the decoded CHANNEL_ID; empty if the request has none
	Body     []byte // empty for a question
}

// SignPost returns the signature of p: lower-case hexadecimal digits.
func (s *Signer) SignPost(p Post) string {
	return hex.EncodeToString(s.mac(s.keys[0], p.head(), p.Body))
}

// VerifyPost reports whether signature, in lower-case hexadecimal digits, is that of p by any of
// the keys. The caller decides whether its time is recent enough.
func (s *Signer) VerifyPost(p Post, signature string) bool {
	return s.verifyHex(signature, p.head(), p.Body)
}

// head returns what is signed before the body.
func (p Post) head() []byte {
	return []byte(timedTag + strconv.FormatInt(p.Time, 10) + "\n" + p.Channels + "\n")
}

func hasTimedTag(body []byte) bool { return bytes.HasPrefix(body, []byte(timedTag)) }
