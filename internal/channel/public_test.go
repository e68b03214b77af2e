package channel_test

import (
	"errors"
	"strings"
	"testing"

	"pushgate/internal/channel"
)

// TestPublicChannel: a public id has a channel that no other id has, and that nobody can name on
// the wire.
func TestPublicChannel(t *testing.T) {
	seen := map[channel.ID]bool{}
	for _, raw := range [][16]byte{{}, {1}, {0xff, 15: 0xff}, {15: 1}} {
		public := channel.FromBytes(raw)
		id := channel.ForPublic(public)
		if id.IsZero() || id == public || seen[id] || len(id.String()) != channel.IDLen || id.IsReserved() {
			t.Errorf("%v has the channel %q", public, id)
		}
		seen[id] = true
		if got, ok := id.PublicID(); !ok || got != public {
			t.Errorf("%q is of %v, %t", id, got, ok)
		}
		if got, err := channel.Restore(id.String()); err != nil || got != id {
			t.Errorf("restored as %q, %v; want %q", got, err, id)
		}
		if _, ok := public.PublicID(); ok {
			t.Errorf("%v is taken for a channel of a public id", public)
		}
		if _, ok := id.Bytes(); ok {
			t.Errorf("%q has bytes", id)
		}
		if got, err := channel.Parse(id.String()); err == nil {
			t.Errorf("%q is a channel id of the wire: %v", id, got)
		}
	}
	for _, none := range []channel.ID{{}, channel.ForUser(5), channel.ForPublic(channel.FromBytes([16]byte{1}))} {
		if id := channel.ForPublic(none); !id.IsZero() {
			t.Errorf("%q has the channel %q", none, id)
		}
	}
	zeros, text := strings.Repeat("0", 9), strings.Repeat("A", 22)
	for _, bad := range []string{"+" + zeros[1:] + "1" + text, "+" + zeros + text[1:] + "B", "+" + zeros + text[1:] + "=", "+" + zeros + text[1:] + "+", "+" + zeros + text[1:]} {
		if id, err := channel.Restore(bad); !errors.Is(err, channel.ErrMalformed) || !id.IsZero() {
			t.Errorf("Restore(%q) = %q, %v", bad, id, err)
		}
	}
}
