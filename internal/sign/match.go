package sign

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"

	"pushgate/internal/channel"
)

// Match is how a signature was made. It holds no secrets.
type Match struct {
	Key       int    // 1 is the first one of the signer
	Algorithm string // the portal's name for it
	Encoding  string // "" if the key was used as it is; "base64" or "hex" if it was decoded before
	Own       bool   // the algorithm is the signer's own
}

// MatchRef returns how the signature of a part of a list was made. It reports false if none of the
// keys made it, with whatever algorithm and encoding. It is for people who look for a wrong
// setting: what it finds besides Own and no Encoding is not valid.
func (s *Signer) MatchRef(ref channel.Ref) (Match, bool) {
	return s.match(ref.Signed(), ref.Signature)
}

// MatchBody is [Signer.MatchRef] for the signature of a request body, in hexadecimal digits.
func (s *Signer) MatchBody(body []byte, signature string) (Match, bool) {
	return s.match(body, signature)
}

// encodings are the ways in which somebody may have used a key by mistake.
var encodings = []struct {
	name string
	key  func([]byte) ([]byte, error)
}{
	{"", func(key []byte) ([]byte, error) { return key, nil }},
	{"base64", func(key []byte) ([]byte, error) { return base64.StdEncoding.DecodeString(string(key)) }},
	{"hex", func(key []byte) ([]byte, error) { return hex.DecodeString(string(key)) }},
}

func (s *Signer) match(message []byte, signature string) (Match, bool) {
	given, err := hex.DecodeString(signature)
	if err != nil {
		return Match{}, false
	}
	names := slices.Sorted(maps.Keys(algorithms))
	for i, key := range s.keys {
		for _, encoding := range encodings {
			decoded, err := encoding.key(key)
			if err != nil || len(decoded) == 0 {
				continue
			}
			for _, name := range names {
				try := Signer{newHash: algorithms[name]}
				if hmac.Equal(given, try.mac(decoded, message)) {
					return Match{Key: i + 1, Algorithm: name, Encoding: encoding.name, Own: try.newHash().Size() == s.size}, true
				}
			}
		}
	}
	return Match{}, false
}
