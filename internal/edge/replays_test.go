package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pushgate/internal/proto"
)

// A client that loads the whole history again and again is slowed. Its first loads are not, nor are
// other clients, nor a client that returns with its last id.
func TestReplayInALoopIsPaced(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		const messages, size = 50, 4 << 10
		body := `"` + strings.Repeat("x", size-2) + `"`
		for range messages {
			w.publish(body, alice, bob)
		}
		var newest proto.ID
		all := func(url string) time.Duration {
			t.Helper()
			got := <-w.get(url)
			if got.err != nil || got.status != 200 || len(got.body) < messages*size {
				t.Fatalf("status %d, %d bytes, %v", got.status, len(got.body), got.err)
			}
			return got.after
		}
		url := w.url("/sub/", signed(alice), "mid", newest.String())
		start, bytes := time.Now(), 0
		for n := range 200 {
			took := all(url)
			if n < 30 && took > 0 || took > mostReplayPause {
				t.Fatalf("replay %d took %v", n, took)
			}
			if n > 0 {
				bytes += messages * size
			}
		}
		if took, least := time.Since(start), time.Duration((bytes-freeRepeats-messages*size)/repeatRate)*time.Second*9/10; took < least {
			t.Errorf("%d MB repeated in %v, want at least %v", bytes>>20, took, least)
		}
		if took := all(w.url("/sub/", signed(bob), "mid", newest.String())); took > 0 {
			t.Errorf("another list of the same address waits %v", took)
		}
		last := w.publish(`{}`, bob)
		missed := w.publish(`{"missed":1}`, alice)
		if got := <-w.get(w.url("/sub/", signed(alice), "mid", last.ID.String())); got.after > 0 || got.body != text(missed, alice) {
			t.Errorf("who returns with the newest id waits %v for %q", got.after, got.body)
		}
		// By WebSocket it is the same client; an hour later it is forgotten.
		conn := w.dial(w.url("/subws/", signed(alice), "mid", newest.String()))
		start = time.Now()
		if _, err := w.read(conn); err != nil || time.Since(start) == 0 {
			t.Errorf("a WebSocket in the loop waits %v, %v", time.Since(start), err)
		}
		conn.CloseNow()
		time.Sleep(50 * time.Minute)
		if took := all(url); took > 0 {
			t.Errorf("long after the loop a replay takes %v", took)
		}
		if w.value("replays_paused_total", "") == 0 {
			t.Error("no pause counted")
		}
	})
}

// The loop is bounded for many connections at a time too, and so is what is remembered.
func TestReplaysAreBounded(t *testing.T) {
	r := newReplays()
	now := time.Now()
	page := []*proto.Message{{ID: proto.ID{Epoch: 1, Sequence: 1}, Body: make([]byte, 256<<10)}}
	for i := range 3 * replaysKnown {
		r.charge(r.client("default", fmt.Sprint(i), nil), page, now)
	}
	if n := len(r.clients.young) + len(r.clients.old); n > 2*replaysKnown {
		t.Errorf("%d remembered", n)
	}
	client := r.client("default", "a", nil)
	for range 10_000 {
		r.charge(client, page, now)
	}
	if pause := r.pause(client, proto.ID{}, now); pause != mostReplayPause {
		t.Errorf("after 2.5 GB a page waits %v", pause)
	}
	if pause := r.pause(client, page[0].ID, now); pause != 0 {
		t.Errorf("who has seen it all waits %v", pause)
	}
	if pause := r.pause(client, proto.ID{}, now.Add(mostReplayPause)); pause != 0 {
		t.Errorf("a page waits %v when the debt is worked off", pause)
	}
	if other := r.client("default", "b", nil); other == client {
		t.Error("another address is the same client")
	}
}
