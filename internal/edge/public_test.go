package edge

import (
	"strings"
	"testing"
)

// TestPrivateAndPublicIDsAreTwo: a valid signature of `public:` and another user's private id does
// not open that private channel, live or stored. A message to a public id reaches sessions that
// watch the id as public, and none that watch it as private.
func TestPrivateAndPublicIDsAreTwo(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		before := w.publish(`{}`, shared)
		from := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		reader := w.dial(w.url("/subws/", pair(bob, bobPublic), "binaryMode", "true"))
		other := w.dial(w.url("/subws/", signed(bobPublic, shared), "binaryMode", "true"))

		w.say(from, batch(t, publishTo(60, hello, to(bob)))) // his private id
		first := w.publish(`{"n":1}`, shared)
		got, err := w.read(reader)
		if err != nil || got != binary(first) {
			t.Errorf("a message to the public id that looks like a private one: %q, %v", got, err)
		}
		w.say(from, batch(t, publishTo(60, hello, to(bobPublic))))
		got, err = w.read(reader)
		if err != nil || !strings.Contains(got, `"command":"hello"`) {
			t.Errorf("a message to a public id: %q, %v", got, err)
		}
		all := binary(first) + got
		// The portal's message to a private id that equals the public one.
		private := w.publish(`{"n":2}`, bobPublic)
		last := w.publish(`{"n":3}`, shared)
		if got, err := w.read(reader); err != nil || got != binary(last) {
			t.Errorf("a message to the private id that looks like a public one: %q, %v", got, err)
		}
		want := binary(first, private, last)
		for got = ""; len(got) < len(want) && err == nil; {
			var frame string
			frame, err = w.read(other)
			got += frame
		}
		if got != want {
			t.Errorf("who watches it as a private id got %q, %v; want %q", got, err, want)
		}
		for channels, want := range map[string]string{
			pair(bob, bobPublic):      all + binary(last),
			signed(bobPublic, shared): binary(first, private, last),
		} {
			replay := w.dial(w.url("/subws/", channels, "binaryMode", "true", "mid", before.ID.String()))
			if got, err := w.read(replay); err != nil || got != want {
				t.Errorf("replayed %q, %v; want %q", got, err, want)
			}
		}
	})
}
