package channel

import (
	"log/slog"
	"strings"
)

// Grammar is a generation of the CHANNEL_ID grammar. In both, slashes separate the parts of a list,
// and one malformed part makes the whole list malformed.
type Grammar uint8

const (
	// Hex is the second generation: PRIVATE[:PUBLIC][.SIGNATURE], ids of 32 lower-case
	// hexadecimal digits, signatures of 32 to 128.
	Hex Grammar = iota
	// Alphanumeric is the first generation: ID[.SIGNATURE], letters and digits of any case in both.
	Alphanumeric
)

const (
	minSignature = 32
	maxSignature = 128
)

// Ref is one part of a channel list: a private id, perhaps with its public twin and a signature
// over both.
type Ref struct {
	Private ID // zero only for a public id alone, which is never on the wire
	Public  ID // zero if the part has none
	// Hexadecimal digits as they were written, unchecked; empty if the part has none.
	Signature string
}

// LogValue returns a part of the private id: with the whole Ref, a reader of the log could read the
// stream.
func (r Ref) LogValue() slog.Value { return r.Private.LogValue() }

// String returns the part as it is written in a list.
func (r Ref) String() string {
	text := string(r.Signed())
	if r.Signature != "" {
		text += "." + r.Signature
	}
	return text
}

// Signed returns the bytes that a signature of r is over: "PRIVATE:PUBLIC", or the private id
// alone. The caller may change them.
func (r Ref) Signed() []byte {
	text := append(make([]byte, 0, 2*IDLen+1), r.Private.text[:]...)
	if !r.Public.IsZero() {
		text = append(append(text, ':'), r.Public.text[:]...)
	}
	return text
}

// ParseList parses a CHANNEL_ID value of at most limit parts. It does not check signatures. It
// returns ErrNoID for an empty value, ErrTooMany for more parts, and else ErrMalformed.
func (g Grammar) ParseList(s string, limit int) ([]Ref, error) {
	if s == "" {
		return nil, ErrNoID
	}
	parts := strings.Count(s, "/") + 1
	if parts > limit {
		return nil, ErrTooMany
	}
	refs := make([]Ref, 0, parts)
	for part := range strings.SplitSeq(s, "/") {
		ref, err := g.parseRef(part)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// IDs returns the channels that refs name, each once, in the order of the list: a private id is
// itself a channel, and a public id has the channel of [ForPublic].
func IDs(refs []Ref) []ID {
	ids := make([]ID, 0, len(refs))
	seen := make(map[ID]struct{}, len(refs))
	add := func(id ID) {
		if _, ok := seen[id]; ok || id.IsZero() {
			return
		}
		seen[id] = struct{}{}
		ids = append(ids, id)
	}
	for _, ref := range refs {
		add(ref.Private)
		add(ForPublic(ref.Public))
	}
	return ids
}

func (g Grammar) parseRef(s string) (ref Ref, err error) {
	ids, sig, signed := strings.Cut(s, ".")
	if signed {
		if len(sig) < minSignature || len(sig) > maxSignature || !Allows(g, sig) {
			return ref, ErrMalformed
		}
		ref.Signature = sig
	}
	if g == Hex {
		var public string
		var twin bool
		if ids, public, twin = strings.Cut(ids, ":"); twin {
			if ref.Public, err = g.parseID(public); err != nil {
				return Ref{}, err
			}
		}
	}
	if ref.Private, err = g.parseID(ids); err != nil {
		return Ref{}, err
	}
	return ref, nil
}

func (g Grammar) parseID(s string) (id ID, err error) {
	if len(s) != IDLen || !Allows(g, s) {
		return id, ErrMalformed
	}
	copy(id.text[:], s)
	return id, nil
}

// Allows reports whether g allows every character of s in an id or a signature. It does not look at
// the length of s.
func Allows[T string | []byte](g Grammar, s T) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case g == Alphanumeric && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'):
		default:
			return false
		}
	}
	return true
}
