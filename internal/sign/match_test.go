package sign_test

import (
	"encoding/base64"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
)

// TestMatch: which of several keys made a signature, with which algorithm, and in which form of the
// key; none if it was another key.
func TestMatch(t *testing.T) {
	keys := [][]byte{[]byte("the first key of a portal"), []byte(base64.StdEncoding.EncodeToString([]byte("the second key of a portal")))}
	ours, err := sign.New("sha1", keys...)
	if err != nil {
		t.Fatal(err)
	}
	ref := channel.Ref{Private: channel.FromBytes([16]byte{1}), Public: channel.FromBytes([16]byte{2})}
	for _, c := range []struct {
		algorithm string
		key       []byte
		want      sign.Match
		ok        bool
	}{
		{"sha1", keys[0], sign.Match{Key: 1, Algorithm: "sha1", Own: true}, true},
		{"sha1", keys[1], sign.Match{Key: 2, Algorithm: "sha1", Own: true}, true},
		{"sha256", keys[1], sign.Match{Key: 2, Algorithm: "sha256"}, true},
		{"sha1", []byte("the second key of a portal"), sign.Match{Key: 2, Algorithm: "sha1", Encoding: "base64", Own: true}, true},
		{"sha1", []byte("the key of another portal"), sign.Match{}, false},
	} {
		theirs, err := sign.New(c.algorithm, c.key)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ours.MatchRef(theirs.Sign(ref)); ok != c.ok || got != c.want {
			t.Errorf("%+v: %+v, %v", c.want, got, ok)
		}
		if got, ok := ours.MatchBody([]byte("{}"), theirs.SignBody([]byte("{}"))); ok != c.ok || got != c.want {
			t.Errorf("a post, %+v: %+v, %v", c.want, got, ok)
		}
	}
	for _, signature := range []string{"", "zz", "00"} {
		if _, ok := ours.MatchBody([]byte("{}"), signature); ok {
			t.Errorf("%q", signature)
		}
	}
}
