// Package sign makes and checks what a portal signs: channel ids, posts, and the tokens of clients.
package sign

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"

	"pushgate/internal/channel"
)

// ErrSignature says that a channel of a list has a wrong signature or none. It does not name the
// channel: ids are secrets.
var ErrSignature = errors.New("wrong or missing channel signature")

// Signer makes and checks the HMAC signatures of a portal: of channel ids, of the right to write to
// a public id, and of request bodies. Several keys may be valid at a time, so that both sides need
// not change theirs at the same moment. Comparisons take constant time. Its methods may be called
// concurrently.
type Signer struct {
	newHash func() hash.Hash
	size    int // of a digest, in bytes
	keys    [][]byte
}

var algorithms = map[string]func() hash.Hash{
	"md5":    md5.New,
	"sha1":   sha1.New,
	"sha256": sha256.New,
	"sha384": sha512.New384,
	"sha512": sha512.New,
}

// New returns a signer for an HMAC algorithm by the portal's name for it: sha1 (the portal's
// default), sha256, sha384, sha512 or md5. Keys are raw bytes, never decoded; the first one signs,
// all of them verify. It returns an error for another algorithm, for no key and for an empty one.
func New(algorithm string, keys ...[]byte) (*Signer, error) {
	newHash, ok := algorithms[algorithm]
	if !ok {
		return nil, fmt.Errorf("unknown signature algorithm %q", algorithm)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no signature key")
	}
	for i, key := range keys {
		if len(key) == 0 {
			return nil, fmt.Errorf("signature key %d is empty", i+1)
		}
	}
	return &Signer{newHash: newHash, size: newHash().Size(), keys: keys}, nil
}

// Sign returns ref with the signature of its portal: over "PRIVATE:PUBLIC", or over the private id
// alone if there is no public one.
func (s *Signer) Sign(ref channel.Ref) channel.Ref {
	ref.Signature = hex.EncodeToString(s.mac(s.keys[0], ref.Signed()))
	return ref
}

// SignBody returns the signature of a request body: lower-case hexadecimal digits.
func (s *Signer) SignBody(body []byte) string {
	return hex.EncodeToString(s.mac(s.keys[0], body))
}

// Verify reports whether ref has a signature of the right length by any of the keys.
func (s *Signer) Verify(ref channel.Ref) bool {
	return s.verifyHex(ref.Signature, ref.Signed())
}

// VerifyBody reports whether signature, in lower-case hexadecimal digits, is that of body by any of
// the keys. It reports false for a body that is a list of channel ids, a public id as
// [Signer.SignPublic] signs it, or the signed part of a token: portals post none, and clients hold
// the signatures of some.
func (s *Signer) VerifyBody(body []byte, signature string) bool {
	return !signedForOther(body) && s.verifyHex(signature, body)
}

// WellFormed reports whether signature has the form of one of this signer's algorithm in
// hexadecimal digits. One of another form is wrong whatever the keys are.
func (s *Signer) WellFormed(signature string) bool {
	return len(signature) == 2*s.size && channel.Allows(channel.Hex, signature)
}

// VerifyQuestion reports whether signature, in lower-case hexadecimal digits, is that of a question
// about the channels of a list, by any of the keys. It reports false for a text that does not have
// the form of a list. A portal signs a question about one channel as it signs the list of that
// channel alone, so a client that may subscribe to it may ask about it too.
func (s *Signer) VerifyQuestion(list, signature string) bool {
	return isList([]byte(list)) && s.verifyHex(signature, []byte(list))
}

// SignPublic returns the signature of the right to write to a public id: the raw digest, as the
// binary dialect carries it.
func (s *Signer) SignPublic(id channel.ID) []byte {
	return s.mac(s.keys[0], publicSubject(id))
}

// VerifyPublic reports whether signature, a raw digest, is that of the right to write to the public
// id by any of the keys. A signature of the right to read is not accepted: the signed texts differ.
func (s *Signer) VerifyPublic(id channel.ID, signature []byte) bool {
	return s.verify(signature, publicSubject(id))
}

func publicSubject(id channel.ID) []byte {
	subject, _ := id.AppendText([]byte(publicTag))
	return subject
}

// LogValue keeps the keys out of logs.
func (s *Signer) LogValue() slog.Value { return slog.StringValue("redacted") }

// verifyHex reports whether signature is that of the parts of message, joined with nothing between
// them.
func (s *Signer) verifyHex(signature string, message ...[]byte) bool {
	// hex.DecodeString would also take upper case, which no portal writes.
	if !channel.Allows(channel.Hex, signature) {
		return false
	}
	given, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	return s.verify(given, message...)
}

func (s *Signer) verify(given []byte, message ...[]byte) bool {
	ok := false
	for _, key := range s.keys { // all of them: the time must not depend on which key it was
		if hmac.Equal(given, s.mac(key, message...)) {
			ok = true
		}
	}
	return ok
}

func (s *Signer) mac(key []byte, message ...[]byte) []byte {
	h := hmac.New(s.newHash, key)
	for _, part := range message {
		h.Write(part)
	}
	return h.Sum(nil)
}
