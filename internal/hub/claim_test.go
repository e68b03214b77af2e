package hub

import (
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// TestClaim: Claim of a session at rest returns the id up to which everything was returned. The
// caller may also continue with the session.
func TestClaim(t *testing.T) {
	h := New(pages(), Config{})
	wakes := 0
	s := h.Attach([]channel.ID{alice}, nil, func() { wakes++ })
	not := func(why string) {
		t.Helper()
		if _, ok := s.Claim(); ok {
			t.Errorf("claimed: %s", why)
		}
	}
	is := func(want proto.ID) {
		t.Helper()
		if through, ok := s.Claim(); !ok || through != want {
			t.Errorf("%v, %t; want %v", through, ok, want)
		}
	}
	not("it does not rest")
	want(t, sequences(t, s))
	not("it awaits the head")
	h.Resync(id(1))
	is(id(1))
	not("already claimed")
	want(t, sequences(t, s))

	h.Dispatch(message(2, bob))
	is(id(2))
	h.Dispatch(message(3, alice))
	h.Resync(id(3))
	s.Nudge()
	if wakes != 0 {
		t.Errorf("woken %d times while it was claimed", wakes)
	}
	got := sequences(t, s) // after the nudge; the log may be read meanwhile, or have been
	for len(got) == 0 {
		got = sequences(t, s)
	}
	want(t, got, 3)
	want(t, sequences(t, s))
	h.Dispatch(message(4, alice))
	not("it was woken")
	want(t, sequences(t, s), 4)
	not("it is at work")
	want(t, sequences(t, s))
	s.losses = &losses{owed: true}
	not("it owes the note of a gap")
	s.losses.owed = false
	is(id(4))
	if wakes != 1 {
		t.Errorf("woken %d times", wakes)
	}
}
