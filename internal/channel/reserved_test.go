package channel_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pushgate/internal/channel"
)

func TestReservedChannels(t *testing.T) {
	seen := map[channel.ID]bool{}
	if id := channel.StatusOf(math.MaxInt64); !id.IsZero() {
		t.Errorf("a user's status has the channel of revocations: %q", id)
	}
	if got, err := channel.Restore(channel.Revocations().String()); err != nil || got != channel.Revocations() {
		t.Errorf("revocations restored as %q, %v", got, err)
	}
	seen[channel.Revocations()] = true
	for _, user := range []int64{1, 5, 10, 1 << 40, math.MaxInt64 - 1} {
		for _, id := range []channel.ID{channel.ForUser(user), channel.StatusOf(user)} {
			if id.IsZero() || seen[id] || len(id.String()) != channel.IDLen {
				t.Errorf("user %d has %q", user, id)
			}
			seen[id] = true
			if got, err := channel.Restore(id.String()); err != nil || got != id {
				t.Errorf("restored as %q, %v; want %q", got, err, id)
			}
			if _, ok := id.Bytes(); ok {
				t.Errorf("%q has bytes", id)
			}
			// No grammar of the wire may accept the name, or clients could subscribe to it.
			if got, err := channel.Parse(id.String()); err == nil {
				t.Errorf("%q is a channel id of the wire: %v", id, got)
			}
			for _, g := range []channel.Grammar{channel.Hex, channel.Alphanumeric} {
				if _, err := g.ParseList(id.String(), 1); err == nil {
					t.Errorf("grammar %d reads %q", g, id)
				}
			}
		}
		if got, ok := channel.ForUser(user).User(); !ok || got != user {
			t.Errorf("the channel of user %d is of %d, %t", user, got, ok)
		}
		if _, ok := channel.StatusOf(user).User(); ok {
			t.Error("a status channel is taken for its user's")
		}
	}
	for _, nobody := range []int64{0, -1, math.MinInt64} {
		if id := channel.ForUser(nobody); !id.IsZero() {
			t.Errorf("user %d has %q", nobody, id)
		}
		if id := channel.StatusOf(nobody); !id.IsZero() {
			t.Errorf("user %d has %q", nobody, id)
		}
	}
	for _, id := range []channel.ID{{}, channel.FromBytes([16]byte{5})} {
		if _, ok := id.User(); ok {
			t.Errorf("%q is a user's", id)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	if id, err := channel.Restore(hexID); err != nil || id.String() != hexID {
		t.Errorf("an ordinary id is restored as %q, %v", id, err)
	}
	for _, bad := range []string{"", "@", "@" + strings.Repeat("0", 31), "@s" + strings.Repeat("0", 30), "@" + strings.Repeat("9", 31),
		"@x" + strings.Repeat("1", 30), "@-" + strings.Repeat("1", 30), "@" + strings.Repeat("0", 29) + "+1", "@" + strings.Repeat("1", 32),
		"!" + strings.Repeat("1", 31)} {
		if id, err := channel.Restore(bad); !errors.Is(err, channel.ErrMalformed) || !id.IsZero() {
			t.Errorf("Restore(%q) = %q, %v", bad, id, err)
		}
	}
}
