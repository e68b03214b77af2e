package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pushgate/internal/proto"
)

// TestSilentLink: the connections of all edges to Redis stall while messages are published. The
// first time they go on by themselves. The second time they turn out to be dead, and what was under
// way is lost.
func TestSilentLink(t *testing.T) {
	t.Parallel()
	silence := 2500 * time.Millisecond
	if testing.Short() {
		silence = time.Second
	}
	for _, c := range []struct {
		name string
		dead bool
	}{{"and goes on", false}, {"and is dead", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, FaultyLinks: true,
				EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=100ms"}})
			crowd := newCrowd(t, w, 30, 4)
			crowd.live(Habits{Polls: 0.5, Life: 10 * time.Second, Pause: 100 * time.Millisecond})
			var accepted atomic.Int64
			var posting sync.WaitGroup
			posting.Go(func() { crowd.publish(t, int(400*(silence+2*time.Second).Seconds()), 400, &accepted) })
			time.Sleep(time.Second)
			for _, link := range w.Links {
				link.Stall()
			}
			before := accepted.Load()
			time.Sleep(silence)
			during := accepted.Load() - before
			for _, link := range w.Links {
				if c.dead {
					link.Cut()
				}
				link.Resume()
			}
			posting.Wait()
			crowd.awaitAll(t)
			r := crowd.ledger.Check(crowd.subscribers)
			t.Logf("%v (%d messages, %d of them in the silence of %v; %d deliveries; longest %v)", r, accepted.Load(), during, silence, r.Arrivals, r.Delay(1))
			if during == 0 {
				t.Error("nothing was published in the silence")
			}
			crowd.verdict(t, r)
			if r.Gaps > 0 {
				t.Errorf("clients got %d notes of a gap, and nothing was lost", r.Gaps)
			}
		})
	}
}

// TestRedisRestartedEmpty: Redis dies and comes back empty. Publishers refuse posts at once, and
// later accept them again. No client is disconnected, nothing waits for ids to catch up, and new
// messages arrive, under higher ids than before. Each client gets a note that messages may be
// missing.
func TestRedisRestartedEmpty(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=100ms"}})
	crowd := newCrowd(t, w, 20, 4)
	crowd.live(Habits{Polls: 0.5, Life: 10 * time.Second, Pause: 100 * time.Millisecond})
	var accepted atomic.Int64
	crowd.publish(t, 200, 400, &accepted)
	arrived(t, crowd)
	before := newest(t, crowd)

	w.Redis.Kill()
	asked := time.Now()
	answer, err := http.Post("http://"+w.Internal+"/bitrix/pub/?CHANNEL_ID="+crowd.channels[0].String(), "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || len(body) != 0 {
		t.Errorf("body %q, %v", body, err)
	}
	if took := time.Since(asked); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || took > 4*time.Second {
		t.Errorf("without Redis: %s, Retry-After %q, after %v", answer.Status, answer.Header.Get("Retry-After"), took)
	}
	if err := w.Redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for _, p := range append(w.Edges, w.Publishers...) {
		if err := p.Await(t.Context(), p.ready); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("all ready again after %v", time.Since(back).Round(time.Millisecond))

	crowd.publish(t, 400, 400, &accepted)
	arrived(t, crowd)
	crowd.awaitAll(t)
	r := crowd.ledger.Check(crowd.subscribers)
	_, unknown := crowd.ledger.Counts()
	t.Logf("%v (%d messages, %d with unknown outcome, %d deliveries); ids %v, then %v", r, accepted.Load(), unknown, r.Arrivals, before, newest(t, crowd))
	var gaps float64
	for _, p := range w.Edges {
		n, err := p.Metric(t.Context(), "pushgate_gaps_total")
		if err != nil {
			t.Fatal(err)
		}
		gaps += n
	}
	t.Logf("%v gaps, and %d notes to clients", gaps, r.Gaps)
	if gaps < float64(len(crowd.subscribers)) {
		t.Errorf("%v gaps were counted for %d clients", gaps, len(crowd.subscribers))
	}
	for _, s := range crowd.subscribers {
		if s.Gaps() == 0 {
			t.Errorf("%s got no note that messages may be missing", s.Name)
		}
	}
	if after := newest(t, crowd); after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d", after.Epoch, before.Epoch)
	}
	crowd.verdict(t, r)
}

// arrived waits until the crowd has everything that was published so far.
func arrived(t *testing.T, c *crowd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.ledger.Await(ctx, c.subscribers); err != nil {
		t.Fatal(err)
	}
}

// newest returns the highest id that any client has.
func newest(t *testing.T, c *crowd) (highest proto.ID) {
	t.Helper()
	for _, s := range c.subscribers {
		id, err := proto.ParseID(s.Last())
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", s.Name, err))
		}
		if id.After(highest) {
			highest = id
		}
	}
	return highest
}
