package sign_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

// TestLogsNoKey: a signer that is logged does not show its keys, nor do the lists it has signed.
func TestLogsNoKey(t *testing.T) {
	signer := newSigner(t, "sha1", "the secret key")
	ref := signer.Sign(channel.Ref{Private: testkit.Channel(1)})
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "signer", signer, "ref", ref)
	}
	if !strings.Contains(out.String(), "redacted") {
		t.Errorf("the signer is not logged: %s", &out)
	}
	for _, secret := range []string{"the secret key", ref.Signature} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is logged: %s", secret, &out)
		}
	}
}

// FuzzSign: for every list that is accepted, the signatures in it do not verify, and ours do.
func FuzzSign(f *testing.F) {
	v := vectors.Load(f)
	for _, c := range v.Parsing.Generation1.Cases {
		f.Add(c.ChannelID, false)
	}
	for _, c := range v.Parsing.Generation2.Cases {
		f.Add(c.ChannelID, true)
	}
	f.Add(oldID, false)
	signer := newSigner(f, "sha1", "a key")
	f.Fuzz(func(t *testing.T, s string, hex bool) {
		g := channel.Alphanumeric
		if hex {
			g = channel.Hex
		}
		refs, _ := g.ParseList(s, 100)
		for _, ref := range refs {
			if signer.Verify(ref) {
				t.Error("a signature by an unknown key verifies")
			}
			signed := signer.Sign(ref)
			if !signer.Verify(signed) {
				t.Error("what is signed does not verify")
			}
			if signed.Private != ref.Private || signed.Public != ref.Public {
				t.Errorf("signing changed the ids of %v", ref)
			}
		}
	})
}
