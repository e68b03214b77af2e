package proto_test

import (
	"cmp"
	"strings"
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/vectors"
)

func TestIDOrder(t *testing.T) {
	ids := []proto.ID{ // in order
		{}, {Sequence: 1}, {Sequence: 9}, {Sequence: 10}, {Sequence: 1e16 - 1},
		{Epoch: 1}, {Epoch: 9, Sequence: 5}, {Epoch: 10}, {Epoch: 1795226210, Sequence: 3}, {Epoch: 1e10 - 1, Sequence: 1e16 - 1},
	}
	for i, a := range ids {
		if a.IsZero() != (i == 0) {
			t.Errorf("%v is zero: %t", a, a.IsZero())
		}
		for j, b := range ids {
			want := cmp.Compare(i, j)
			if got := a.Compare(b); got != want {
				t.Errorf("%v compared with %v: %d", a, b, got)
			}
			if got := strings.Compare(a.String(), b.String()); got != want {
				t.Errorf("%q as a string compared with %q: %d", a, b, got)
			}
			if got := a.After(b); got != (want > 0) {
				t.Errorf("%v after %v: %t", a, b, got)
			}
		}
	}
}

// FuzzParseID: only 26 digits are accepted, and String returns the same ones.
func FuzzParseID(f *testing.F) {
	for _, c := range vectors.Load(f).MIDs {
		f.Add(c.MID)
	}
	for _, s := range []string{"-1952262100000000000000002", "+17952262100000000000000002", "1795226210000000000000000x", "99999999999999999999999999", "1795226210 000000000000002", "１2345678901234567890123456"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		digits := len(s) == proto.IDLen && strings.Trim(s, "0123456789") == ""
		id, err := proto.ParseID(s)
		if (err == nil) != digits {
			t.Fatalf("ParseID(%q) = %v, %v", s, id, err)
		}
		if fromBytes, err2 := proto.ParseID([]byte(s)); fromBytes != id || (err2 == nil) != digits {
			t.Errorf("ParseID of bytes = %v, %v", fromBytes, err2)
		}
		if err != nil {
			if !id.IsZero() {
				t.Errorf("%v beside an error", id)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q came back as %q", s, id)
		}
	})
}

func TestIDPrevious(t *testing.T) {
	for _, c := range []struct {
		id, want proto.ID
		ok       bool
	}{
		{proto.ID{Epoch: 7, Sequence: 2}, proto.ID{Epoch: 7, Sequence: 1}, true},
		{proto.ID{Epoch: 7, Sequence: 1}, proto.ID{Epoch: 7}, true}, // where an epoch begins
		{proto.ID{Epoch: 7}, proto.ID{}, false},
		{proto.ID{}, proto.ID{}, false},
	} {
		if got, ok := c.id.Previous(); got != c.want || ok != c.ok {
			t.Errorf("before %v: %v, %v", c.id, got, ok)
		}
	}
}
