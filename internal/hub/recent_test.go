package hub

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// ids returns the sequences of a page's messages.
func ids(page proto.Page) (all []uint64) {
	for _, m := range page.Messages {
		all = append(all, m.ID.Sequence)
	}
	return all
}

func ask(r *recent, after int, channels ...channel.ID) (proto.Page, bool) {
	return r.page(proto.Question{Channels: channels, After: id(after)}, 100, 1<<20)
}

func TestRecentAnswersWhatItHasHeardWhole(t *testing.T) {
	var r recent
	r.remember(1 << 20)
	if _, ok := ask(&r, 0, alice); ok {
		t.Error("an answer before there was a subscription")
	}
	r.resync(id(5))
	r.add(message(5, alice)) // on its way when the head was asked for
	r.add(message(6, alice, bob))
	r.add(message(7, bob))
	typing := message(8, alice)
	typing.TTL = 0
	r.add(typing)
	for _, c := range []struct {
		after    int
		channels []channel.ID
		ok       bool
		want     []uint64
	}{
		{4, []channel.ID{alice}, false, nil},
		{5, []channel.ID{alice}, true, []uint64{6}},
		{5, []channel.ID{bob, alice}, true, []uint64{6, 7}},
		{6, []channel.ID{alice}, true, nil},
		{8, []channel.ID{alice, bob}, true, nil},
		// Another edge was notified of later messages, or the log has lost them.
		{9, []channel.ID{alice}, false, nil},
	} {
		page, ok := ask(&r, c.after, c.channels...)
		if got := ids(page); ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("after %d: %v, %t, want %v, %t", c.after, got, ok, c.want, c.ok)
		}
		if ok && (page.Through != id(8) || page.Head != id(8) || page.More || page.Gap()) {
			t.Errorf("after %d: %+v", c.after, page)
		}
	}
}

func TestRecentAndTheLink(t *testing.T) {
	var r recent
	r.remember(1 << 20)
	r.resync(id(1))
	r.add(message(2, alice))
	r.pause()
	if _, ok := ask(&r, 1, alice); ok {
		t.Error("an answer while the log knows more")
	}
	r.resync(id(2))
	if page, ok := ask(&r, 1, alice); !ok || len(page.Messages) != 1 {
		t.Errorf("nothing was missed, and it is forgotten: %v", page)
	}
	r.pause()
	r.resync(id(3))
	if _, ok := ask(&r, 2, alice); ok {
		t.Error("an answer over a hole")
	}
	if page, ok := ask(&r, 3, alice); !ok || len(page.Messages) != 0 {
		t.Errorf("%v, %t", page, ok)
	}
}

func TestRecentPages(t *testing.T) {
	var r recent
	r.remember(1 << 20)
	r.resync(id(0))
	for i := range 10 {
		r.add(message(i+1, alice))
	}
	for _, c := range []struct{ messages, bytes int }{{4, 1 << 20}, {100, 9}} {
		page, ok := r.page(proto.Question{Channels: []channel.ID{alice}, After: id(0)}, c.messages, c.bytes)
		if got := ids(page); !ok || !slices.Equal(got, []uint64{1, 2, 3, 4}) || !page.More || page.Through != id(4) || page.Head != id(10) {
			t.Errorf("%+v", page)
		}
	}
}

// A message that is larger than a page has its own page.
func TestRecentPageHasAMessage(t *testing.T) {
	var r recent
	r.remember(1 << 20)
	r.resync(id(0))
	r.add(message(1, alice))
	if page, ok := r.page(proto.Question{Channels: []channel.ID{alice}, After: id(0)}, 1, 1); !ok || len(page.Messages) != 1 || page.More {
		t.Errorf("%+v, %t", page, ok)
	}
}

func TestRecentForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent
		r.remember(1 << 20)
		r.resync(id(0))
		short := message(1, alice)
		short.TTL = time.Second
		r.add(short)
		r.add(message(2, alice))
		time.Sleep(2 * time.Second)
		if page, ok := ask(&r, 0, alice); !ok || !slices.Equal(ids(page), []uint64{2}) {
			t.Errorf("%+v", page)
		}
	})
}

// Compares the cache with a plain list, with random sizes. Every answer is the list's, and the
// cache answers every question that its size allows.
func TestRecentIsAList(t *testing.T) {
	channels := []channel.ID{alice, bob, testkit.Channel(3)}
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		some := func() (all []channel.ID) {
			for _, id := range channels {
				if rnd.IntN(2) == 0 {
					all = append(all, id)
				}
			}
			return append(all, channel.FromBytes([16]byte{4, byte(rnd.IntN(4))}))
		}
		var r recent
		var list []*proto.Message
		limit := 0
		r.resync(id(0))
		for step := range 500 {
			if step%50 == 0 {
				limit = rnd.IntN(30 * 700)
				r.remember(limit)
			}
			m := message(step+1, some()...)
			list = append(list, m)
			r.add(m)
			kept, sum := len(list), 0
			for kept > 0 && sum+cost(list[kept-1]) <= limit {
				kept--
				sum += cost(list[kept])
			}
			if kept > 0 && list[kept-1].ID.After(r.since) || r.bytes > limit {
				// It may keep less than fits, if the limit was lower before, but never more.
				t.Fatalf("seed %d, step %d: since %v, %d bytes of %d", seed, step, r.since, r.bytes, limit)
			}
			after := step + 1 - rnd.IntN(40)
			wanted := some()
			page, ok := ask(&r, max(after, 0), wanted...)
			if !ok {
				continue
			}
			var want []uint64
			for _, m := range list[max(after, 0):] {
				if m.Via(wanted) >= 0 {
					want = append(want, m.ID.Sequence)
				}
			}
			if !slices.Equal(ids(page), want) {
				t.Fatalf("seed %d, step %d: after %d got %v, want %v", seed, step, after, ids(page), want)
			}
		}
		if len(r.newest) > len(r.entries.items)-r.entries.dropped || cap(r.messages.items) > 200 {
			t.Errorf("seed %d: %d channels for %d places, room for %d messages", seed, len(r.newest), len(r.entries.items)-r.entries.dropped, cap(r.messages.items))
		}
	}
}
