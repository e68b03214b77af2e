package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSuccession: every edge is replaced by a new process, twice, under steady posts. Hundreds of
// WebSockets stay open, and get everything once and in order. Polls are answered as usual.
func TestSuccession(t *testing.T) {
	clients := scale(t, "E2E_CLIENTS", 400, 400)
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, Portals: usualPortals, Handover: true,
		EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=1s", "PUSHGATE_PING_INTERVAL=1s"}})
	c := newCrowd(t, w, clients, 8)
	sockets, ended := c.stay(t)
	traffic := c.traffic(t.Context(), 200)
	defer traffic.stop()
	for range 2 {
		for _, p := range w.Edges {
			held, err := p.Metric(t.Context(), `pushgate_connections{transport="websocket"}`)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := p.Succeed(t.Context()); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			now, err := p.Metric(t.Context(), `pushgate_connections{transport="websocket"}`)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v WebSockets before, %v after, in %v", p.Name, held, now, took.Round(time.Millisecond))
		}
	}
	time.Sleep(3 * time.Second) // pings would have found dead connections by now
	slowest := traffic.stop()
	if err := c.closing(t.Context()); err != nil {
		t.Error(err)
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("%d of %d WebSockets ended", n, sockets)
	}
	c.stop()
	r := c.ledger.Check(c.subscribers)
	accepted, unknown := c.ledger.Counts()
	t.Logf("%v: %d messages, %d not accepted, %d deliveries to %d clients, %d by WebSocket; longest silence %v, slowest post %v; closes %v; statuses %v; broken %d", r, accepted, unknown,
		r.Arrivals, clients, sockets, r.Silence.Round(time.Millisecond), slowest.Round(time.Millisecond), r.Counts.Closes, r.Counts.Statuses, r.Counts.Broken)
	c.table(t, r)
	c.verdict(t, r)
	if unknown > 0 || r.Gaps > 0 {
		t.Errorf("%d messages not accepted, %d notes of gaps", unknown, r.Gaps)
	}
}

// stay connects the subscribers; two of three stay with one WebSocket. It returns when these are
// connected, with their number and a counter of those that ended too early.
func (c *crowd) stay(t *testing.T) (sockets int, ended *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended = new(atomic.Int64)
	var lives, opened sync.WaitGroup
	for i, s := range c.subscribers {
		stays := !s.Stream && i/len(c.world.Portals)/len(kinds)%3 != 2
		if !stays {
			lives.Go(func() {
				s.Live(ctx, rand.New(rand.NewPCG(uint64(i), 1)), Habits{Polls: 1, Life: time.Hour, Pause: 100 * time.Millisecond})
			})
			continue
		}
		sockets++
		opened.Add(1)
		once := sync.OnceFunc(opened.Done)
		lives.Go(func() {
			defer once()
			for ctx.Err() == nil {
				if err := s.WebSocket(ctx, once); ctx.Err() == nil {
					ended.Add(1)
					t.Logf("%s: %v", s.Name, err)
				}
			}
		})
	}
	opened.Wait()
	c.stop = sync.OnceFunc(func() {
		cancel()
		lives.Wait()
	})
	return sockets, ended
}
