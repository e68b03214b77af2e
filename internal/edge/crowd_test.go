package edge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/vectors"
)

// The oldest connection of a user makes room, whichever transport it has.
func TestTooManyConnectionsOfAUser(t *testing.T) {
	inWorld(t, func(c *settings) { c.Limits.Connections = 2 }, func(t *testing.T, w *world) {
		mine := pair(alice, alicePublic)
		first := w.dial(w.url("/subws/", mine, "binaryMode", "true"))
		poll := w.get(w.url("/sub/", mine))
		second := w.dial(w.url("/subws/", mine))
		want := vectors.Load(t).Closes[8]
		if code, reason := w.closed(first); int(code) != want.Code || reason != want.Reason || want.Code != 4029 {
			t.Errorf("%d %q, want %d %q", code, reason, want.Code, want.Reason)
		}
		third := w.dial(w.url("/subws/", mine))
		answer := vectors.Load(t).Answer(t, 2, "GET sub, more than maxConnPerChannel connections")
		if got := <-poll; got.status != answer.Status || got.body != answer.Body || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%d %q, want %d %q", got.status, got.body, answer.Status, answer.Body)
		}
		// Who has gone takes no room.
		third.CloseNow()
		synctest.Wait()
		w.dial(w.url("/subws/", mine))
		m := w.publish(`{}`, alice)
		if got, err := w.read(second); err != nil || got != text(m, alice) {
			t.Errorf("the second is gone: %q, %v", got, err)
		}
		if n := w.value("session_ends_total", "too_many_connections"); n != 2 {
			t.Errorf("%v ends counted", n)
		}
	})
}

// Channels that many share, and have no public id, are not limited.
func TestSharedChannelIsNotLimited(t *testing.T) {
	inWorld(t, func(c *settings) { c.Limits.Connections = 2 }, func(t *testing.T, w *world) {
		for i := range 5 {
			public := channel.FromBytes([16]byte{byte(50 + i)})
			w.dial(w.url("/subws/", pair(alice, public)))
			w.dial(w.url("/subws/", signed(shared)))
		}
		if n := w.value("connections", "websocket"); n != 10 {
			t.Errorf("%v connections, want all", n)
		}
	})
}

type fakeGuest struct{ told *int }

func (g *fakeGuest) makeRoom() { *g.told++ }

func TestCrowdForgetsWhoHasGone(t *testing.T) {
	c := newCrowds()
	told := 0
	var guests []*fakeGuest
	for range 10 {
		g := &fakeGuest{&told}
		guests = append(guests, g)
		c.enter(alice, 3, g)
	}
	if told != 7 {
		t.Errorf("%d told", told)
	}
	for _, g := range guests {
		c.leave(alice, g)
	}
	if len(c.guests) != 0 {
		t.Errorf("%d users remembered", len(c.guests))
	}
}

// A client that comes back at once with wrong ids is held back more and more; others are not.
func TestRepeatedRefusalsAreSlow(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		var took []string
		for range 8 {
			start := time.Now()
			conn := w.dial(w.url("/subws/", alice.String()))
			if code, _ := w.closed(conn); code != 4010 {
				t.Errorf("closed with %d", code)
			}
			took = append(took, time.Since(start).Round(time.Second).String())
		}
		if want := "[0s 1s 2s 4s 8s 16s 30s 30s]"; fmt.Sprint(took) != want {
			t.Errorf("took %v, want %s", took, want)
		}
		start := time.Now()
		if code, _ := w.closed(w.dial(w.url("/subws/", bob.String()))); code != 4010 || time.Since(start) > time.Second {
			t.Errorf("%d after %v, for another id", code, time.Since(start))
		}
		if n := w.value("subscribe_refusals_paused_total", ""); n != 7 {
			t.Errorf("%v pauses counted", n)
		}
		time.Sleep(2 * refusalMemory)
		start = time.Now()
		if w.closed(w.dial(w.url("/subws/", alice.String()))); time.Since(start) > time.Second {
			t.Errorf("still slow after a long silence: %v", time.Since(start))
		}
	})
}

// An edge that leaves does not wait for those that it holds back.
func TestDrainEndsPauses(t *testing.T) {
	inWorld(t, func(c *settings) { c.Drain = 0 }, func(t *testing.T, w *world) {
		for range 6 {
			w.closed(w.dial(w.url("/subws/", alice.String())))
		}
		conn := w.dial(w.url("/subws/", alice.String()))
		start := time.Now()
		go w.edge.Drain(t.Context())
		if code, _ := w.closed(conn); code != 4010 || time.Since(start) > time.Second {
			t.Errorf("%d after %v", code, time.Since(start))
		}
	})
}

// Whoever is held back and goes leaves nothing behind.
func TestPauseEndsWithItsClient(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 6 {
			w.closed(w.dial(w.url("/subws/", alice.String())))
		}
		conn, _ := w.rawWebSocket(w.url("/subws/", alice.String()))
		if n := len(w.edge.wheel.members()); n != 1 {
			t.Errorf("%d connections held", n)
		}
		conn.Close()
		synctest.Wait()
		if n := len(w.edge.wheel.members()); n != 0 || w.edge.pacer.pausing != 0 {
			t.Errorf("%d connections held, %d pauses", n, w.edge.pacer.pausing)
		}
	})
}

func TestPacerIsBounded(t *testing.T) {
	p := newPacer()
	now := time.Now()
	for i := range 10 * rememberedRefused {
		p.pause(fmt.Sprint(i), "a", now)
	}
	if n := len(p.clients.young) + len(p.clients.old); n > 2*rememberedRefused {
		t.Errorf("%d remembered", n)
	}
	paused := 0
	for range 2 * mostPausing {
		if p.pause("x", "a", now) > 0 {
			paused++
		}
	}
	if paused != mostPausing {
		t.Errorf("%d held at a time", paused)
	}
	p.resume()
	if p.pause("x", "b", now) != 0 || p.pause("x", "a", now) == 0 {
		t.Error("not by address, or a place that became free is not taken")
	}
}
