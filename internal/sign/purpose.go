package sign

import (
	"bytes"

	"pushgate/internal/channel"
)

// A portal signs texts of several kinds with one key and, but for tokens, one algorithm. Clients
// hold the signatures of their own channel list, of public ids and of their token. None of those
// can be used as the signature of a post, because no post has such a text as its body: the bodies
// of posts begin with a brace, a bracket, or a tag of protobuf. So [Signer.VerifyBody] refuses a
// body of any of these forms.

// publicTag is the beginning of the text that is signed for the right to write to a public id.
const publicTag = "public:"

// signedForOther reports whether text has the form of what a portal signs for other purposes than a
// post without a time: a list of channels, the right to write to a public id, a token, or a post
// with a time.
func signedForOther(text []byte) bool {
	ids, _ := bytes.CutPrefix(text, []byte(publicTag))
	return isList(ids) || isToken(text) || hasTimedTag(text)
}

// isList reports whether text has the form of a CHANNEL_ID of either generation, whatever its
// length is.
func isList(text []byte) bool {
	for part := range bytes.SplitSeq(text, []byte("/")) {
		ids, signature, _ := bytes.Cut(part, []byte("."))
		if !channel.Allows(channel.Alphanumeric, signature) {
			return false
		}
		for id := range bytes.SplitSeq(ids, []byte(":")) {
			if len(id) != channel.IDLen || !channel.Allows(channel.Alphanumeric, id) {
				return false
			}
		}
	}
	return true
}

// isToken reports whether text has the form of the signed part of a token: two words of base64url
// with a dot between them.
func isToken(text []byte) bool {
	dot := false
	for i, c := range text {
		switch {
		case c == '-', c == '_', channel.Allows(channel.Alphanumeric, text[i:i+1]):
		case c == '.' && !dot && i > 0 && i < len(text)-1:
			dot = true
		default:
			return false
		}
	}
	return dot
}
