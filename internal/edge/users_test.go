package edge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

// The oldest connection of a user is evicted, whatever its transport is.
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
		// A closed connection does not count.
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

// Channels that many users share, without a public id, are not limited.
func TestSharedChannelIsNotLimited(t *testing.T) {
	inWorld(t, func(c *settings) { c.Limits.Connections = 2 }, func(t *testing.T, w *world) {
		for i := range 5 {
			public := testkit.Channel(byte(50 + i))
			w.dial(w.url("/subws/", pair(alice, public)))
			w.dial(w.url("/subws/", signed(shared)))
		}
		if n := w.value("connections", "websocket"); n != 10 {
			t.Errorf("%v connections, want all", n)
		}
	})
}

type fakeConn struct{ evicted *int }

func (c *fakeConn) Evict() { *c.evicted++ }

func TestUserLimitsForgetWhoHasGone(t *testing.T) {
	u := newUserLimits()
	evicted := 0
	var conns []*fakeConn
	for range 10 {
		c := &fakeConn{&evicted}
		conns = append(conns, c)
		u.enter(alice, 3, c)
	}
	if evicted != 7 {
		t.Errorf("%d evicted", evicted)
	}
	for _, c := range conns {
		u.leave(alice, c)
	}
	if len(u.conns) != 0 {
		t.Errorf("%d users remembered", len(u.conns))
	}
}

// A client that comes back at once with wrong ids waits longer each time; others do not.
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

// Polls and streams are refused at the same pace, and their pauses end with the edge.
func TestRepeatedRefusalsOfPollsAreSlow(t *testing.T) {
	inWorld(t, func(c *settings) { c.Drain = 0 }, func(t *testing.T, w *world) {
		var took []string
		for i := range 8 {
			got := <-w.get(w.url([]string{"/bitrix/sub/", "/sse/"}[i%2], alice.String()))
			if got.status != 400 || got.body != "4010: Wrong Channel Id." {
				t.Errorf("got %d %q, %v", got.status, got.body, got.err)
			}
			took = append(took, got.after.Round(time.Second).String())
		}
		if want := "[0s 1s 2s 4s 8s 16s 30s 30s]"; fmt.Sprint(took) != want {
			t.Errorf("took %v, want %s", took, want)
		}
		if got := <-w.get(w.url("/bitrix/sub/", bob.String())); got.after > time.Second {
			t.Errorf("another id: %v", got.after)
		}
		answers := w.get(w.url("/bitrix/sub/", alice.String()))
		go w.edge.Drain(t.Context())
		if got := <-answers; got.status != 400 || got.after > time.Second {
			t.Errorf("while leaving: %d after %v", got.status, got.after)
		}
		synctest.Wait()
		if w.edge.pacer.pausing != 0 {
			t.Errorf("%d are still held back", w.edge.pacer.pausing)
		}
	})
}

// An edge that leaves does not wait for clients in a pause.
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

// A client that disconnects during its pause leaves nothing behind.
func TestPauseEndsWithItsClient(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 6 {
			w.closed(w.dial(w.url("/subws/", alice.String())))
		}
		conn, _ := w.rawWebSocket(w.url("/subws/", alice.String()))
		if n := len(w.edge.shared.Heartbeats.Members()); n != 1 {
			t.Errorf("%d connections held", n)
		}
		conn.Close()
		synctest.Wait()
		if n := len(w.edge.shared.Heartbeats.Members()); n != 0 || w.edge.pacer.pausing != 0 {
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
