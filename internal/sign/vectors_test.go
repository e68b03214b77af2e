package sign_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

const (
	hexID   = "00112233445566778899aabbccddeeff"
	otherID = "f0e5d42369441879d7e176c96cbbff2d"
	oldID   = "ABCdefGHIjklMNOpqrSTUvwxYZ012345" // of the first generation only
)

// anyNumber is more than any list of the vectors has.
const anyNumber = 1000

func TestSignatures(t *testing.T) {
	for _, v := range vectors.Load(t).Signatures {
		for algorithm, want := range map[string]string{"sha1": v.SHA1, "sha256": v.SHA256, "md5": v.MD5} {
			t.Run(v.KeyName+"/"+v.Signed+"/"+algorithm, func(t *testing.T) {
				if v.Key == "" {
					if _, err := sign.New(algorithm, []byte(v.Key)); err == nil {
						t.Fatal("an empty key was accepted")
					}
					return
				}
				signer := newSigner(t, algorithm, v.Key)
				refs, err := channel.Hex.ParseList(v.Signed, 1)
				if err != nil {
					t.Fatal(err)
				}
				signed := signer.Sign(refs[0])
				if signed.Signature != want {
					t.Errorf("signature %s, want %s", signed.Signature, want)
				}
				if !signer.Verify(signed) {
					t.Error("its own signature does not verify")
				}
				if algorithm == "sha1" && signed.String() != v.ChannelID {
					t.Errorf("written as %s, want %s", signed, v.ChannelID)
				}
				if got := signer.SignBody([]byte(v.Signed)); got != want {
					t.Errorf("body signature %s, want %s", got, want)
				}
				for i := range signed.Signature {
					forged := signed
					forged.Signature = flip(signed.Signature, i)
					if signer.Verify(forged) {
						t.Errorf("verifies with digit %d changed", i)
					}
				}
			})
		}
	}
}

func flip(digits string, i int) string {
	b := []byte(digits)
	b[i] = "123456789abcdef0"[strings.IndexByte("0123456789abcdef", b[i])]
	return string(b)
}

// TestSignatureOfOtherKind: a signature over a public id alone, or over the private id of a pair,
// is not one over the pair. Nor does one of the right digits but the wrong length verify.
func TestSignatureOfOtherKind(t *testing.T) {
	signer := newSigner(t, "sha1", "a key")
	pair, err := channel.Hex.ParseList(strings.Repeat("a", 32)+":"+strings.Repeat("b", 32), 1)
	if err != nil {
		t.Fatal(err)
	}
	both := pair[0]
	good := signer.Sign(both).Signature
	alone := signer.Sign(channel.Ref{Private: both.Private}).Signature
	for name, signature := range map[string]string{
		"of the private id": alone, "none": "", "cut": good[:38], "odd": good[:39], "drawn out": good + "00", "upper case": strings.ToUpper(good),
		"of the public id": signer.SignBody([]byte("public:" + both.Public.String())),
	} {
		both.Signature = signature
		if signer.Verify(both) {
			t.Errorf("verifies with a signature that is %s", name)
		}
		if signer.VerifyBody([]byte(strings.Repeat("a", 32)+":"+strings.Repeat("b", 32)), signature) {
			t.Errorf("body verifies with a signature that is %s", name)
		}
	}
	both.Signature = good
	if !signer.Verify(both) {
		t.Error("the right one does not verify")
	}
}

func TestSeveralKeys(t *testing.T) {
	old, next := newSigner(t, "sha1", "old"), newSigner(t, "sha1", "new")
	both, err := sign.New("sha1", []byte("new"), []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	ref := channel.Ref{Private: testkit.Channel(1)}
	if got, want := both.Sign(ref), next.Sign(ref); got != want {
		t.Errorf("signs %s, want the first key's %s", got, want)
	}
	if got, want := both.SignBody([]byte("x")), next.SignBody([]byte("x")); got != want {
		t.Errorf("signs a body %s, want the first key's %s", got, want)
	}
	for name, s := range map[string]*sign.Signer{"old": old, "new": next} {
		if !both.Verify(s.Sign(ref)) {
			t.Errorf("a signature by the %s key does not verify", name)
		}
		if !both.VerifyBody([]byte("x"), s.SignBody([]byte("x"))) {
			t.Errorf("a body signature by the %s key does not verify", name)
		}
	}
	if old.Verify(next.Sign(ref)) {
		t.Error("a signature by a key that is not held verifies")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, make := range map[string]func() (*sign.Signer, error){
		"unknown algorithm": func() (*sign.Signer, error) { return sign.New("crc32", []byte("k")) },
		"no key":            func() (*sign.Signer, error) { return sign.New("sha1") },
		"empty second key":  func() (*sign.Signer, error) { return sign.New("sha1", []byte("k"), nil) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseGeneration2(t *testing.T) {
	g := vectors.Load(t).Parsing.Generation2
	signer := newSigner(t, g.Algo, g.Key)
	for _, c := range g.Cases {
		t.Run(c.Description, func(t *testing.T) {
			refs, err := channel.Hex.ParseList(c.ChannelID, anyNumber)
			subscribed, published := subscribe(signer, refs, err), publishText(signer, refs, err)
			if c.Accepted() != (subscribed != nil) {
				t.Errorf("subscribe accepted = %t, want %t (%v)", subscribed != nil, c.Accepted(), err)
			}
			if diff := testkit.Diff(c.Subscribe, parts(subscribed)); diff != "" {
				t.Errorf("subscribe:\n%s", diff)
			}
			if diff := testkit.Diff(c.PublishText, parts(published)); diff != "" {
				t.Errorf("publish:\n%s", diff)
			}
			if (c.ChannelID == "") != errors.Is(err, channel.ErrNoID) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestParseGeneration1(t *testing.T) {
	g := vectors.Load(t).Parsing.Generation1
	signer := newSigner(t, g.Algo, g.Key)
	for _, c := range g.Cases {
		t.Run(c.Description, func(t *testing.T) {
			refs, err := channel.Alphanumeric.ParseList(c.ChannelID, anyNumber)
			if diff := testkit.Diff(c.Subscribe.Channels, privates(subscribe(signer, refs, err))); diff != "" {
				t.Errorf("subscribe:\n%s", diff)
			}
			if diff := testkit.Diff(c.Publish.Channels, privates(publishText(signer, refs, err))); diff != "" {
				t.Errorf("publish:\n%s", diff)
			}
			if noID := c.Subscribe.ErrorBody == "No channel id provided."; noID != errors.Is(err, channel.ErrNoID) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRequestSignatures(t *testing.T) {
	for _, c := range vectors.Load(t).RequestSignatures {
		if c.Signature == "" {
			continue // the derivation of a tenant's key
		}
		t.Run(c.What, func(t *testing.T) {
			body := []byte(c.Text)
			switch {
			case c.Body != "":
				body = []byte(c.Body)
			case c.BodyHex != "":
				var err error
				if body, err = hex.DecodeString(c.BodyHex); err != nil {
					t.Fatal(err)
				}
			}
			signer := newSigner(t, "sha1", c.Key)
			if got := signer.SignBody(body); got != c.Signature {
				t.Errorf("signature %s, want %s", got, c.Signature)
			}
			verify := signer.VerifyBody
			if strings.HasPrefix(c.What, "GET ") {
				verify = func(list []byte, signature string) bool { return signer.VerifyQuestion(string(list), signature) }
			}
			if !verify(body, c.Signature) {
				t.Error("does not verify")
			}
			if verify(append(body, ' '), c.Signature) {
				t.Error("verifies for another text")
			}
		})
	}
}

// subscribe applies the rule of subscribers: every part must have a valid signature. It returns nil
// for a list that is refused.
func subscribe(signer *sign.Signer, refs []channel.Ref, err error) []channel.Ref {
	if err != nil {
		return nil
	}
	for _, ref := range refs {
		if !signer.Verify(ref) {
			return nil
		}
	}
	return refs
}

// publishText applies the rule of text posts: only parts with a public id must have a valid
// signature.
func publishText(signer *sign.Signer, refs []channel.Ref, err error) []channel.Ref {
	if err != nil {
		return nil
	}
	for _, ref := range refs {
		if !ref.Public.IsZero() && !signer.Verify(ref) {
			return nil
		}
	}
	return refs
}

func parts(refs []channel.Ref) []vectors.Part {
	parts := make([]vectors.Part, len(refs))
	for i, ref := range refs {
		parts[i] = vectors.Part{Private: ref.Private.String(), Public: ref.Public.String()}
	}
	return parts
}

func privates(refs []channel.Ref) (ids []string) {
	for _, ref := range refs {
		ids = append(ids, ref.Private.String())
	}
	return ids
}

func newSigner(t testing.TB, algorithm, key string) *sign.Signer {
	t.Helper()
	signer, err := sign.New(algorithm, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// TestPublicSignature: the right to write is another signature than the right to read.
func TestPublicSignature(t *testing.T) {
	v := vectors.Load(t)
	s := newSigner(t, "sha1", v.Parsing.Generation2.Key)
	cases := 0
	for _, c := range v.Parsing.Generation2.Cases {
		if !strings.Contains(c.Description, "public: prefix") {
			continue
		}
		cases++
		text, digits, _ := strings.Cut(c.ChannelID, ".")
		id := testkit.ParseChannel(text)
		raw, _ := hex.DecodeString(digits)
		if got := s.SignPublic(id); !bytes.Equal(got, raw) {
			t.Errorf("%x, want %s", got, digits)
		}
		two, err := sign.New("sha1", []byte("the key of tomorrow"), []byte(v.Parsing.Generation2.Key))
		if err != nil {
			t.Fatal(err)
		}
		if !s.VerifyPublic(id, raw) || !two.VerifyPublic(id, raw) {
			t.Error("does not verify")
		}
		reading, _ := hex.DecodeString(s.Sign(channel.Ref{Private: id}).Signature)
		for _, bad := range [][]byte{nil, {}, raw[1:], append(raw[:len(raw):len(raw)], 0), reading, make([]byte, len(raw))} {
			if s.VerifyPublic(id, bad) {
				t.Errorf("%x verifies", bad)
			}
		}
	}
	if cases != 1 {
		t.Errorf("%d cases", cases)
	}
}
