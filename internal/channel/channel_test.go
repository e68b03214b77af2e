package channel_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

const (
	hexID   = "00112233445566778899aabbccddeeff"
	otherID = "f0e5d42369441879d7e176c96cbbff2d"
	oldID   = "ABCdefGHIjklMNOpqrSTUvwxYZ012345" // of the first generation only
)

func TestID(t *testing.T) {
	id, err := channel.Parse(hexID)
	if err != nil || id.String() != hexID || id.IsZero() {
		t.Fatalf("Parse = %v, %v", id, err)
	}
	raw, ok := id.Bytes()
	if !ok || raw != [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff} {
		t.Errorf("Bytes = %x, %t", raw, ok)
	}
	if channel.FromBytes(raw) != id {
		t.Error("FromBytes is not the inverse of Bytes")
	}
	old, err := channel.Parse(oldID)
	if err != nil || old.String() != oldID {
		t.Fatalf("Parse = %v, %v", old, err)
	}
	if _, ok := old.Bytes(); ok {
		t.Error("an id of other letters has bytes")
	}
	if upper, err := channel.Parse(strings.ToUpper(hexID)); err != nil {
		t.Error(err)
	} else if _, ok := upper.Bytes(); ok || upper == id {
		t.Error("upper-case digits are taken for lower-case ones")
	}
	if text, err := id.AppendText([]byte("x")); err != nil || string(text) != "x"+hexID {
		t.Errorf("AppendText = %s, %v", text, err)
	}
	var zero channel.ID
	if !zero.IsZero() || zero.String() != "" {
		t.Errorf("the zero ID is %q", zero)
	}
	for _, bad := range []string{"", hexID[1:], hexID + "0", hexID[1:] + "-", hexID[1:] + "\x00", hexID[2:] + "é", hexID[1:] + "/"} {
		if id, err := channel.Parse(bad); !errors.Is(err, channel.ErrMalformed) || !id.IsZero() {
			t.Errorf("Parse(%q) = %v, %v", bad, id, err)
		}
	}
}

// TestAlphabet tries every byte, to find a range with a wrong end.
func TestAlphabet(t *testing.T) {
	const (
		lowerHex = "0123456789abcdef"
		all      = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	)
	for c := range 256 {
		s := string([]byte{byte(c)})
		for g, alphabet := range map[channel.Grammar]string{channel.Hex: lowerHex, channel.Alphanumeric: all} {
			want := strings.Contains(alphabet, s)
			if _, err := g.ParseList(hexID[1:]+s, 1); (err == nil) != want {
				t.Errorf("grammar %d, id with byte %#x: %v", g, c, err)
			}
			if _, err := g.ParseList(hexID+"."+hexID+s, 1); (err == nil) != want {
				t.Errorf("grammar %d, signature with byte %#x: %v", g, c, err)
			}
		}
	}
}

func TestListLimits(t *testing.T) {
	list := func(n int) string { return strings.TrimSuffix(strings.Repeat(hexID+"/", n), "/") }
	for _, g := range []channel.Grammar{channel.Hex, channel.Alphanumeric} {
		if refs, err := g.ParseList(list(100), 100); err != nil || len(refs) != 100 {
			t.Errorf("100 of 100: %d, %v", len(refs), err)
		}
		if _, err := g.ParseList(list(101), 100); !errors.Is(err, channel.ErrTooMany) {
			t.Errorf("101 of 100: %v", err)
		}
		for length, ok := range map[int]bool{0: false, 31: false, 32: true, 33: true, 128: true, 129: false} {
			_, err := g.ParseList(hexID+"."+strings.Repeat("a", length), 1)
			if (err == nil) != ok {
				t.Errorf("grammar %d, signature of %d: %v", g, length, err)
			}
		}
		for _, bad := range []string{"/", "/" + hexID, hexID + "/", hexID + "//" + hexID, hexID + ".", "." + hexID, hexID + ":", hexID + ":" + hexID + ":" + hexID, hexID + "\n"} {
			if refs, err := g.ParseList(bad, 100); !errors.Is(err, channel.ErrMalformed) || refs != nil {
				t.Errorf("grammar %d, %q: %v, %v", g, bad, refs, err)
			}
		}
	}
}

func TestIDs(t *testing.T) {
	refs, err := channel.Hex.ParseList(hexID+":"+otherID+"/"+otherID+"/"+hexID+"/"+strings.Repeat("1", 32), 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, id := range channel.IDs(refs) {
		if i == 1 {
			public, ok := id.PublicID()
			if !ok {
				t.Errorf("%q is not the channel of a public id", id)
			}
			id = public
		}
		got = append(got, id.String())
	}
	if diff := testkit.Diff([]string{hexID, otherID, otherID, strings.Repeat("1", 32)}, got); diff != "" {
		t.Errorf("ids:\n%s", diff)
	}
}

// TestLogsNoSecret: a reader of the logs must not be able to read a stream.
func TestLogsNoSecret(t *testing.T) {
	refs, err := channel.Hex.ParseList(hexID+":"+otherID+"."+strings.Repeat("0f", 20), 1)
	if err != nil {
		t.Fatal(err)
	}
	ref := refs[0]
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "id", ref.Private, "zero", channel.ID{}, "ref", ref)
	}
	if !strings.Contains(out.String(), hexID[:6]) {
		t.Errorf("nothing to tell streams apart: %s", &out)
	}
	for _, secret := range []string{hexID, otherID, ref.Signature} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is logged: %s", secret, &out)
		}
	}
}

// FuzzParseList: what is accepted is written back as it was read.
func FuzzParseList(f *testing.F) {
	v := vectors.Load(f)
	for _, c := range v.Parsing.Generation1.Cases {
		f.Add(c.ChannelID, false)
	}
	for _, c := range v.Parsing.Generation2.Cases {
		f.Add(c.ChannelID, true)
	}
	f.Add(oldID, false)
	f.Fuzz(func(t *testing.T, s string, hex bool) {
		g := channel.Alphanumeric
		if hex {
			g = channel.Hex
		}
		refs, err := g.ParseList(s, 100)
		if err != nil {
			if refs != nil {
				t.Error("refs beside an error")
			}
			return
		}
		written := make([]string, len(refs))
		for i, ref := range refs {
			written[i] = ref.String()
			if ref.Private.IsZero() {
				t.Error("a part without a private id")
			}
			if id, err := channel.Parse(ref.Private.String()); err != nil || id != ref.Private {
				t.Errorf("Parse = %v, %v", id, err)
			}
		}
		if got := strings.Join(written, "/"); got != s {
			t.Errorf("written back as %q, read %q", got, s)
		}
	})
}

// TestQuote: what a client wrote is in a log line, but not an id or a signature that is hidden in
// it.
func TestQuote(t *testing.T) {
	const id = "0f9e8d7c6b5a49382716051423324150"
	for text, want := range map[string]string{
		"":                                  "",
		"push.example.com:8893":             "push.example.com:8893",
		id + ".example.com":                 "0f9e8d….example.com",
		"https://" + id + "." + id:          "https://0f9e8d….0f9e8d…",
		strings.Repeat("a.", 100) + id:      strings.Repeat("a.", 50),
		strings.Repeat("a.", 42) + id + "b": strings.Repeat("a.", 42) + "0f9e8d…",
	} {
		if got := channel.Quote(text); got != want {
			t.Errorf("Quote(%q) is %q, want %q", text, got, want)
		}
	}
}
