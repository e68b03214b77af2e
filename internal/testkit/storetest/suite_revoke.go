package storetest

import (
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// revokeCases are about what a portal puts out.
func revokeCases() []testCase {
	out, in := revoke.User(17), revoke.Channel(ch(1))
	return []testCase{
		// Edges of earlier versions know nothing of revocations, and must not be disturbed: what
		// they get is a message to nobody.
		{"revocations are notified as messages are", store.Config{WriteWindow: time.Minute}, func(b *bench) {
			until := b.Now().Add(time.Hour).Truncate(time.Second)
			r := b.follow()
			b.post(time.Hour, "a", ch(1))
			b.must(b.Log.Revoke(b.Context(), out, until))
			b.post(time.Hour, "b", ch(1))
			b.Advance(2 * time.Minute) // the channel of revocations has no write window
			b.must(b.Log.Lift(b.Context(), out))
			testkit.Eventually(b.T, "all of it", func() bool { return len(r.Texts()) == 4 })
			texts, ids := r.Texts(), r.IDs()
			if texts[0] != "a" || texts[1] != string(revoke.Note{Entry: out, Until: until.Unix()}.Body()) || texts[2] != "b" || texts[3] != string(revoke.Note{Entry: out}.Body()) {
				b.Errorf("notified of %s", strings.Join(texts, ", "))
			}
			if ids[3].Sequence != ids[0].Sequence+3 {
				b.Errorf("ids %v", ids)
			}
			if resyncs, _, _, _ := r.State(); resyncs != 1 {
				b.Errorf("%d resyncs", resyncs)
			}
			b.want("a b", proto.ID{}, ch(1), channel.Revocations())
		}},
		{"revocations are read if they have changed", store.Config{}, func(b *bench) {
			until := b.Now().Add(time.Hour).Truncate(time.Second)
			read := func(known proto.ID, want revoke.List) proto.ID {
				b.Helper()
				list, version, err := b.Log.Revocations(b.Context(), known)
				if err != nil || (list == nil) != (want == nil) || !testkit.Equal(list, want) {
					b.Errorf("%v, want %v: %v", list, want, err)
				}
				return version
			}
			if version := read(proto.ID{}, nil); !version.IsZero() {
				b.Errorf("version %v of nothing", version)
			}
			b.must(b.Log.Revoke(b.Context(), out, until))
			b.must(b.Log.Revoke(b.Context(), in, until))
			ended := b.Now().Add(-time.Minute)
			b.must(b.Log.Revoke(b.Context(), revoke.User(18), ended))
			b.must(b.Log.Lift(b.Context(), in))
			if some, err := b.Log.RevokedAny(b.Context(), in, out); err != nil || !some {
				b.Errorf("none of two is put out: %v", err)
			}
			if some, err := b.Log.RevokedAny(b.Context(), in); err != nil || some {
				b.Errorf("what was lifted is put out: %v", err)
			}
			first := read(proto.ID{}, revoke.List{out: until.Unix()})
			if head := b.head(proto.ID{}); first != head {
				b.Errorf("version %v, head %v", first, head)
			}
			b.post(time.Hour, "a", ch(1))
			read(first, nil)
			read(first, nil)
			b.Flush()
			if version := read(first, revoke.List{}); !version.IsZero() {
				b.Errorf("version %v of a log that was lost", version)
			}
		}},
	}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
