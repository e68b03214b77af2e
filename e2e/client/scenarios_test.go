package client

import (
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/e2e"
	"pushgate/internal/testkit"
)

// hears: messages to users reach these users only, messages to all reach all, once, in the order
// of publishing.
func hears(w *world) {
	a, b := w.open(1), w.open(2)
	for n := 1; n <= 30; n++ {
		switch n % 3 {
		case 0:
			w.say(n, n, shared)
		case 1:
			w.say(n, n, private(1), private(2))
		case 2:
			// It is sent to each of them twice, and shown once.
			w.say(n, n, private(1), shared, private(2))
		}
	}
	a.expect(1, 30)
	b.expect(1, 30)
	w.say(31, 31, private(1))
	a.expect(1, 31)
	w.say(31, 31, private(2))
	b.expect(1, 31)
	for _, page := range []*tab{a, b} {
		first := page.connections()[0]
		if got := first.names(); !slices.Equal(got, w.first) {
			w.Errorf("first connected with %v, want %v", got, w.first)
		}
		if w.webSocket != (first.Status == 101) {
			w.Errorf("first connected with status %d", first.Status)
		}
		w.configs(page.user, 1)
	}
}

// killed: the edge of a page is killed, and the whole service is down for a moment. Then the other
// edge is killed too, while the page waits.
func killed(w *world) {
	b := w.open(1)
	w.say(1, 3, private(1))
	b.expect(1, 3)
	for _, edge := range w.push.Edges {
		edge.Kill()
	}
	w.say(4, 20, private(1), shared)
	w.start(w.push.Edges[0])
	w.say(21, 23, private(1))
	// A first try comes after half a second, and the next after 15 s.
	b.expectWithin(2*testkit.Patience, 1, 23)
	w.say(24, 24, private(1))
	b.expect(1, 24)

	w.start(w.push.Edges[1])
	w.found(w.push.Edges[1])
	w.push.Edges[0].Kill()
	w.say(25, 44, private(1))
	b.expect(1, 44)
	w.say(45, 45, shared)
	b.expect(1, 45)
	w.resumed(b)
	w.configs(1, 1)
}

// resumed fails the test unless the last connection of a page began with its last id.
func (w *world) resumed(b *tab) {
	w.Helper()
	list := b.connections()
	last := list[len(list)-1]
	if got := last.names(); len(list) < 2 || !slices.Equal(got, w.dialect.resumed) {
		w.Errorf("the last of %d connections had %v, want %v", len(list), got, w.dialect.resumed)
	}
}

// drained: edges leave one after the other, as in a rollout, while messages keep coming.
func drained(w *world) {
	b := w.open(1)
	n := 0
	for _, edge := range w.push.Edges {
		n++
		w.say(n, n, private(1))
		b.expect(1, n)
		var left errgroup.Group
		left.Go(edge.Stop)
		for range 20 {
			n++
			w.say(n, n, private(1))
			time.Sleep(50 * time.Millisecond) // the portal's own pace
		}
		if err := left.Wait(); err != nil {
			w.Fatal(err)
		}
		b.expect(1, n)
		w.start(edge)
		w.found(edge)
	}
	for _, line := range b.said() {
		if strings.Contains(line, "connection error") {
			w.Errorf("the client says %s", line)
		}
	}
	if w.webSocket && !b.closed(3000) {
		w.Errorf("no WebSocket was closed with 3000: %q", b.said())
	}
	w.resumed(b)
	w.configs(1, 1)
}

// serverRestart: a system command sends the client away for 15 s.
func serverRestart(w *world) {
	b := w.open(1)
	w.say(1, 2, private(1))
	b.expect(1, 2)
	start := time.Now()
	w.publish(event("pull", "server_restart", object{}), shared)
	b.offline()
	w.say(3, 12, private(1))
	b.expect(1, 12)
	if took := time.Since(start); took < 14*time.Second {
		w.Errorf("the client was back after %v", took)
	}
	w.say(13, 13, shared)
	b.expect(1, 13)
	w.resumed(b)
	w.configs(1, 1)
}

// reloaded: for some seconds the client remembers its configuration and the last id over a reload.
func reloaded(w *world) {
	b := w.open(1)
	w.say(1, 3, private(1))
	b.expect(1, 3)
	evaluate[bool](b, "location.reload(), true")
	w.say(4, 6, private(1))
	b.await("the page to be there again", func() bool {
		return len(evaluate[[]heard](b, "typeof heard === 'undefined' ? [] : heard")) == 3
	})
	for i, n := range b.numbers() {
		if n != 4+i {
			w.Errorf("heard %v after the reload, want 4 5 6", b.numbers())
			break
		}
	}
	list := b.connections()
	if list[len(list)-1].mid() == "" {
		w.Error("connected without an id after the reload")
	}
	w.configs(1, 1)
}

// channelExpire: twice a day the portal makes a new shared channel, for all users at once, and
// announces it on the old one.
func channelExpire(w *world) {
	b := w.open(1)
	w.say(1, 2, shared)
	b.expect(1, 2)
	fresh := e2e.NewChannel()
	now := time.Now()
	w.publish(event("pull", "channel_expire", object{"action": "reconnect", "channel": object{"id": shared.String(), "type": "shared"},
		"new_channel": object{"id": w.push.Signed(fresh), "start": iso(now), "end": iso(now.Add(12 * time.Hour)), "type": "shared"}}), shared)
	w.say(3, 5, fresh)
	w.say(6, 6, private(1))
	b.expect(1, 6)
	w.say(7, 7, fresh)
	b.expect(1, 7)
	list := b.connections()
	if id := list[len(list)-1].URL.Query().Get("CHANNEL_ID"); !strings.Contains(id, fresh.String()) || strings.Contains(id, shared.String()) {
		w.Errorf("connected with %q in the end", id)
	}
	w.resumed(b)
	w.configs(1, 1)
}

// configExpire: the portal's administrator has saved the settings.
func configExpire(w *world) {
	b := w.open(1)
	w.say(1, 1, private(1))
	b.expect(1, 1)
	w.publish(event("pull", "config_expire", object{}), shared)
	b.await("another call of the portal", func() bool { return len(w.portal.configs(w.T, 1)) == 2 })
	b.online()
	w.say(2, 4, private(1))
	b.expect(1, 4)
	w.configs(1, 2)
}

// wrongKey: the edges come back with a new key, which the portal has too, so the page's
// configuration is no longer valid. The page asks for another one, once, after a delay that it
// chooses at random. The delay protects the portal from all pages at once.
func wrongKey(w *world) {
	b := w.open(1)
	w.say(1, 2, private(1))
	b.expect(1, 2)
	key := randomKey()
	w.portal.setKey(key)
	var killing sync.WaitGroup // at once: none may take the page in from another
	for _, edge := range w.push.Edges {
		killing.Go(edge.Kill)
	}
	killing.Wait()
	changed := time.Now()
	for _, edge := range w.push.Edges {
		edge.Setenv("PUSHGATE_KEYS=" + key)
		w.start(edge)
	}
	refused := b.refused(changed)
	w.say(3, 12, private(1))
	b.expectWithin(36*time.Second+testkit.Patience, 1, 12)
	w.say(13, 13, private(1))
	b.expect(1, 13)
	calls := w.portal.configs(w.T, 1)
	if len(calls) != 2 {
		w.Fatalf("%d configurations were asked for, want 2", len(calls))
	}
	if wait := calls[1].Sub(refused); wait < 4*time.Second || wait > 36*time.Second+testkit.Patience {
		w.Errorf("the client asked for a configuration after %v", wait)
	}
	// While both edges were down, nginx may have answered 502.
	if n := len(b.reached()); n != 3 {
		w.Errorf("%d connections; want the first, the refused, the new one", n)
	}
	w.Logf("asked after %v", calls[1].Sub(refused).Round(time.Second))
	w.resumed(b)
}

// emptyPolls: the answer to the first poll without a message has an id, from which the client goes
// on. Later answers have none, and the client goes on from its own id.
func emptyPolls(w *world) {
	w.say(1, 1, private(1)) // there is something before the page is
	b := w.open(1)
	polls := func(status int64) (list []request) {
		for _, r := range b.connections() {
			if r.Status == status {
				list = append(list, r)
			}
		}
		return list
	}
	b.await("polls without news", func() bool { return len(polls(304)) >= 3 })
	place := polls(304)[0].LastID
	if len(place) != 26 {
		w.Fatalf("the first poll without news said %q", place)
	}
	for i, r := range polls(304)[:3] {
		if i > 0 && (r.LastID != "" || r.mid() != place) {
			w.Errorf("poll %d asked from %q and got the id %q, want %q and none", i+1, r.mid(), r.LastID, place)
		}
	}
	for n := 2; n <= 6; n++ {
		w.say(n, n, private(1))
		seen := len(polls(304))
		b.await("a poll without news", func() bool { return len(polls(304)) > seen+1 })
	}
	if got := b.numbers(); !slices.Equal(got, []int{2, 3, 4, 5, 6}) {
		w.Errorf("heard %v, want 2 to 6", got)
	}
	w.configs(1, 1)
}
