package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
)

// scale gives a number that the environment may change.
func scale(t *testing.T, name string, usual, short int) int {
	t.Helper()
	if testing.Short() {
		usual = short
	}
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestFaultRun is the guarantee: clients that come and go by both transports, while edges are killed and restarted, nginx is
// reloaded and an edge loses Redis, have exactly what was accepted for them, in id order.
//
// E2E_MESSAGES, E2E_CLIENTS and E2E_RATE (messages a second) change its size.
func TestFaultRun(t *testing.T) {
	const shared = 8
	messages := scale(t, "E2E_MESSAGES", 20_000, 2_500)
	clients := scale(t, "E2E_CLIENTS", 200, 40)
	rate := scale(t, "E2E_RATE", 500, 250)
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, FaultyLinks: true, Shutdown: "1s",
		EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=2s"}})
	crowd := newCrowd(t, w, clients, shared)
	crowd.live(Habits{Polls: 0.5, Life: 6 * time.Second, Pause: 200 * time.Millisecond})

	began := time.Now()
	var accepted atomic.Int64
	faults := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() {
		faults <- w.misfortunes(t.Context(), func() float64 { return float64(accepted.Load()) / float64(messages) })
	})
	crowd.publish(t, messages, rate, &accepted)
	posting := time.Since(began)
	running.Wait()
	if err := <-faults; err != nil {
		t.Fatal(err)
	}
	crowd.settle(t)

	r := crowd.ledger.Check(crowd.subscribers)
	done, unknown := crowd.ledger.Counts()
	t.Logf("%v (%d messages in %.1f s, %d more with unknown outcome, %d deliveries)", r, done, posting.Seconds(), unknown, r.Arrivals)
	t.Logf("from post to arrival: p50 %v, p99 %v, longest %v", r.Delay(0.5), r.Delay(0.99), r.Delay(1))
	t.Logf("%d WebSockets, %d polls; %d connections broke; closes %v; statuses %v", r.Counts.WebSockets, r.Counts.Polls, r.Counts.Broken,
		r.Counts.Closes, r.Counts.Statuses)
	for _, p := range w.Edges {
		var values []string
		for _, series := range []string{"resyncs", "replayed", "replay_errors", "inbox_overflows", "gaps"} {
			n, err := p.Metric(t.Context(), "pushgate_"+series+"_total")
			if err != nil {
				t.Error(err)
			}
			values = append(values, fmt.Sprintf("%s %v", series, n))
		}
		t.Logf("%s, since it was started last: %s", p.Name, strings.Join(values, ", "))
	}
	crowd.verdict(t, r)
	if r.Gaps > 0 {
		t.Errorf("clients were told of %d gaps, and nothing was lost", r.Gaps)
	}
}

// misfortunes lets happen what the guarantee is about, one after another as progress goes on.
func (w *World) misfortunes(ctx context.Context, progress func() float64) error {
	at := func(share float64) error {
		for progress() < share {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
		return nil
	}
	pause := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	for _, step := range []struct {
		share float64
		act   func() error
	}{
		{0.10, func() error { // an edge is killed, and comes back
			w.Edges[0].Kill()
			if err := pause(time.Second); err != nil {
				return err
			}
			return w.Edges[0].Start(ctx)
		}},
		{0.35, func() error { // another leaves as it should, and comes back
			if err := w.Edges[1].Stop(); err != nil {
				return err
			}
			return w.Edges[1].Start(ctx)
		}},
		{0.50, func() error { return w.Nginx.Signal(syscall.SIGHUP) }},
		{0.75, func() error { // the third loses Redis for two seconds
			w.Links[2].Refuse(true)
			w.Links[2].Cut()
			err := pause(2 * time.Second)
			w.Links[2].Refuse(false)
			return err
		}},
	} {
		if err := at(step.share); err != nil {
			return err
		}
		if err := step.act(); err != nil {
			return err
		}
	}
	return nil
}

// crowd is subscribers, each with a channel of its own and some of the shared ones, and what was published to them.
type crowd struct {
	world       *World
	ledger      Ledger
	subscribers []Subscriber
	channels    []channel.ID
	sequence    atomic.Int64 // of the bodies: no two are the same
	stop        func()       // ends the subscribers' lives and waits for them
}

func newCrowd(t *testing.T, w *World, clients, shared int) *crowd {
	t.Helper()
	c := &crowd{world: w}
	for range shared {
		c.channels = append(c.channels, NewChannel())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(transport.CloseIdleConnections)
	for i := range clients {
		own := NewChannel()
		channels := []channel.ID{own, c.channels[i%shared], c.channels[(i*7+3)%shared]}
		c.channels = append(c.channels, own)
		c.subscribers = append(c.subscribers, Subscriber{Channels: channels, Client: &Client{
			Name: fmt.Sprintf("client %d", i), Address: w.Public, List: w.Signed(channels...), Dialect: Text{},
			HTTP: &http.Client{Transport: transport}, From: "00000000000000000000000000",
		}})
	}
	return c
}

// live lets the subscribers come and go. Every third stays ten times as long: only who was there before a fault shows what it did.
func (c *crowd) live(h Habits) {
	ctx, cancel := context.WithCancel(context.Background())
	var lives sync.WaitGroup
	for i, s := range c.subscribers {
		h := h
		if i%3 == 0 {
			h.Life *= 10
		}
		lives.Go(func() { s.Live(ctx, rand.New(rand.NewPCG(uint64(i), 1)), h) })
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		lives.Wait()
	})
}

// publish posts until so many messages were accepted, to one to five channels each, by several senders at a rate.
func (c *crowd) publish(t *testing.T, messages, rate int, accepted *atomic.Int64) {
	t.Helper()
	const senders = 8
	begin, first := time.Now(), c.sequence.Load()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(sender), 2))
			for accepted.Load() < int64(messages) && t.Context().Err() == nil {
				n := c.sequence.Add(1)
				time.Sleep(time.Until(begin.Add(time.Duration(n-first) * time.Second / time.Duration(rate))))
				channels := make([]channel.ID, 0, 5)
				for _, i := range random.Perm(len(c.channels))[:1+random.IntN(5)] {
					channels = append(channels, c.channels[i])
				}
				body := fmt.Sprintf(`{"module_id":"e2e","command":"message","params":{"n":%d,"text":"привет"},"extra":{}}`, n)
				err := c.ledger.Post(body, channels, func() error {
					_, err := c.world.Post(t.Context(), body, random.IntN(4) == 0, channels...)
					return err
				})
				if err == nil {
					accepted.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// settle waits until everything has arrived, and lets every client come back once more, when there is nothing left for it.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.ledger.Await(ctx, c.subscribers); err != nil {
		t.Error(err)
	}
	c.stop()
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var last sync.WaitGroup
	for i, s := range c.subscribers {
		last.Go(func() {
			if i%2 == 0 {
				_ = s.WebSocket(ctx, nil)
			} else {
				_, _ = s.Poll(ctx)
			}
		})
	}
	last.Wait()
}

// verdict fails the test for whatever a client must not see.
func (c *crowd) verdict(t *testing.T, r Report) {
	t.Helper()
	if !r.OK() {
		t.Errorf("%v; foreign %d", r, r.Foreign)
		for _, fault := range r.Faults[:min(len(r.Faults), 20)] {
			t.Error(fault)
		}
	}
	for code := range r.Counts.Closes {
		// 3000 is an edge that leaves; -1 is no word at all. Any other sends clients to the portal, or is meant for a client's fault.
		if code != 3000 && code != -1 && code != websocket.StatusAbnormalClosure {
			t.Errorf("close %d", code)
		}
	}
}
