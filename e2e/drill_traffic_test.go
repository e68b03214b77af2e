package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is the posts of all portals, at a rate, until it is stopped.
type traffic struct {
	cancel  context.CancelFunc
	senders sync.WaitGroup
	slowest atomic.Int64 // nanoseconds
}

func (c *crowd) traffic(ctx context.Context, rate int) *traffic {
	const senders = 12
	f := &traffic{}
	ctx, f.cancel = context.WithCancel(ctx)
	begin := time.Now()
	var slots atomic.Int64
	for sender := range senders {
		f.senders.Go(func() {
			random := rand.New(rand.NewPCG(uint64(sender), rand.Uint64()))
			for {
				portal := c.world.Portals[random.IntN(len(c.world.Portals))]
				letters, send := c.letters(random, portal)
				n := slots.Add(int64(len(letters)))
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
				}
				// A post that is under way gets its answer, also after the end.
				posted := time.Now()
				_ = c.ledger.Post(func() error { return send(context.WithoutCancel(ctx)) }, letters...)
				took := int64(time.Since(posted))
				for slowest := f.slowest.Load(); took > slowest && !f.slowest.CompareAndSwap(slowest, took); slowest = f.slowest.Load() {
				}
			}
		})
	}
	return f
}

// stop ends the posts, and returns how long the slowest answer took.
func (f *traffic) stop() time.Duration {
	f.cancel()
	f.senders.Wait()
	return time.Duration(f.slowest.Load())
}

// closing posts one more message to every channel, and waits until all readers have theirs. As long
// as order is kept, readers then have everything that came before, and what they do not have is
// lost.
func (c *crowd) closing(ctx context.Context) error {
	const together = 50
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var last []Letter
	for _, portal := range c.world.Portals {
		for first := 0; first < len(c.channels); first += together {
			for {
				l := Letter{Portal: portal.ClientID, Channels: c.channels[first:min(first+together, len(c.channels))],
					Body: fmt.Sprintf(`{"module_id":"e2e","command":"last","params":{"n":%d}}`, c.sequence.Add(1))}
				err := c.ledger.Post(func() error { _, err := portal.Post(ctx, l.Body, false, l.Channels...); return err }, l)
				if err == nil {
					last = append(last, l)
					break
				}
				select {
				case <-ctx.Done():
					return fmt.Errorf("nothing is accepted any more: %w", err)
				case <-time.After(100 * time.Millisecond):
				}
			}
		}
	}
	for _, s := range c.subscribers {
		for {
			missing := c.missing(s, last)
			if missing == 0 {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s has not caught up: %d messages after all others are missing", s.Name, missing)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// missing counts the letters that a subscriber should have and does not have. One that began
// without an id must get only what came after its first id, and nothing as long as it has received
// none. The id of a message is known from what others received.
func (c *crowd) missing(s Subscriber, letters []Letter) (n int) {
	due := make(map[string]string) // ids, as far as they are known, by body
	for _, l := range letters {
		if s.watches(l) {
			due[l.Body] = ""
		}
	}
	for _, a := range s.Arrivals() {
		delete(due, a.Body)
	}
	if len(due) == 0 || s.From == "" && s.known() == "" {
		return 0
	}
	for _, other := range c.subscribers {
		for _, a := range other.Arrivals() {
			if _, ok := due[a.Body]; ok {
				due[a.Body] = a.MID
			}
		}
	}
	for _, id := range due {
		if id == "" || s.due(id) {
			n++
		}
	}
	return n
}

// comeBack lets every client connect once more, which must get nothing.
func (c *crowd) comeBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var visits sync.WaitGroup
	for i, s := range c.subscribers {
		visits.Go(func() { s.Visit(ctx, i/len(kinds)%2 == 0) })
	}
	visits.Wait()
}
