package load

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
)

// Signer signs as a portal does (docs/protocol.md). It shares no code with
// the server, so that a fault there cannot hide here.
type Signer struct {
	newHash func() hash.Hash
	key     []byte
}

// NewSigner returns a signer for one key and for an HMAC algorithm by the portal's name for it:
// md5, sha1, sha256, sha384 or sha512.
func NewSigner(algorithm, key string) (*Signer, error) {
	s := &Signer{key: []byte(key)}
	switch algorithm {
	case "md5":
		s.newHash = md5.New
	case "sha1":
		s.newHash = sha1.New
	case "sha256":
		s.newHash = sha256.New
	case "sha384":
		s.newHash = sha512.New384
	case "sha512":
		s.newHash = sha512.New
	default:
		return nil, fmt.Errorf("unknown signature algorithm %q", algorithm)
	}
	if key == "" {
		return nil, errors.New("the signature key is empty")
	}
	return s, nil
}

// sign returns the signature of text, in lower-case hexadecimal digits.
func (s *Signer) sign(text []byte) string {
	h := hmac.New(s.newHash, s.key)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}
