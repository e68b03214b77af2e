package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// Recorder is a follower that records its calls and checks the promises of the log: ids rise,
// Resync comes first and after each Down, and calls do not overlap.
type Recorder struct {
	t     testing.TB
	calls atomic.Int32 // of the log, under way

	mu      sync.Mutex
	up      bool
	newest  proto.ID
	texts   []string
	ids     []proto.ID
	resyncs int
	downs   int
}

// NewRecorder returns a recorder that reports faults to t.
func NewRecorder(t testing.TB) *Recorder { return &Recorder{t: t} }

// call locks r for a call of the log, and reports one that overlaps with another. It returns the
// function that ends the call. Readers of r lock only r.mu.
func (r *Recorder) call() func() {
	if r.calls.Add(1) > 1 {
		r.t.Error("two calls of a follower overlap")
	}
	r.mu.Lock()
	return func() {
		r.mu.Unlock()
		r.calls.Add(-1)
	}
}

// Resync implements [proto.Follower].
func (r *Recorder) Resync(head proto.ID) {
	defer r.call()()
	if r.newest.After(head) {
		r.t.Errorf("resync at %v, after %v", head, r.newest)
	}
	r.up, r.newest = true, head
	r.resyncs++
}

// Dispatch implements [proto.Follower].
func (r *Recorder) Dispatch(m *proto.Message) {
	defer r.call()()
	if !r.up {
		r.t.Errorf("message %v before a resync", m.ID)
	}
	if !m.ID.After(r.newest) {
		r.t.Errorf("message %v after %v", m.ID, r.newest)
	}
	r.newest = m.ID
	r.ids = append(r.ids, m.ID)
	r.texts = append(r.texts, string(m.Body))
}

// Down implements [proto.Follower].
func (r *Recorder) Down(err error) {
	defer r.call()()
	if err == nil {
		r.t.Error("down without a reason")
	}
	if !r.up && r.downs > 0 {
		r.t.Errorf("down twice: %v", err)
	}
	r.up = false
	r.downs++
}

// Texts returns the bodies of all messages that came, in order.
func (r *Recorder) Texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}

// IDs returns the ids of all messages that came, in order.
func (r *Recorder) IDs() []proto.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// State returns how often the link was made and lost, whether it is up, and the newest id received.
func (r *Recorder) State() (resyncs, downs int, up bool, newest proto.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resyncs, r.downs, r.up, r.newest
}

// Resyncs returns how often the link was made.
func (r *Recorder) Resyncs() int {
	n, _, _, _ := r.State()
	return n
}

// follow starts a recorder, waits for its first resync, and ends it with the test.
func (b *bench) follow() *Recorder {
	b.Helper()
	r := NewRecorder(b.T)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Log.Follow(ctx, r); !errors.Is(err, context.Canceled) {
			b.Errorf("follow ended: %v", err)
		}
	})
	b.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	testkit.Eventually(b.T, "a resync", func() bool { return r.Resyncs() == 1 })
	return r
}

func (b *bench) heard(r *Recorder, texts string) {
	b.Helper()
	n := len(strings.Fields(texts))
	testkit.Eventually(b.T, texts, func() bool { return len(r.Texts()) >= n })
	if got := strings.Join(r.Texts(), " "); got != texts {
		b.Errorf("notified of %q, want %q", got, texts)
	}
}

// followCases are about notifications.
func followCases() []testCase {
	return []testCase{
		{"followers get everything in order", store.Config{}, func(b *bench) {
			old := b.post(time.Hour, "before", ch(1))
			one, two := b.follow(), b.follow()
			if _, _, _, newest := one.State(); newest != old {
				b.Errorf("resync at %v, want %v", newest, old)
			}
			b.post(time.Hour, "a", ch(1))
			b.append(msg(0, "t", ch(2), ch(3)), msg(time.Hour, "b", ch(2)))
			b.post(0, "u", ch(1))
			b.heard(one, "a t b u")
			b.heard(two, "a t b u")
			if ids := one.IDs(); ids[3].Sequence != old.Sequence+4 {
				b.Errorf("ids %v after %v", ids, old)
			}
		}},
		{"the first resync of an empty log", store.Config{}, func(b *bench) {
			r := b.follow()
			if _, _, _, newest := r.State(); !newest.IsZero() {
				b.Errorf("resync at %v", newest)
			}
			b.post(time.Hour, "a", ch(1))
			b.heard(r, "a")
		}},
		{"a cut is a resync", store.Config{}, func(b *bench) {
			r := b.follow()
			for i := range 3 {
				text := fmt.Sprint(i)
				b.post(time.Hour, text, ch(1))
				testkit.Eventually(b.T, text, func() bool { return slices.Contains(r.Texts(), text) })
				b.Cut()
				testkit.Eventually(b.T, "a resync", func() bool {
					resyncs, downs, up, _ := r.State()
					return resyncs == i+2 && downs == i+1 && up
				})
			}
			b.post(time.Hour, "last", ch(1))
			b.heard(r, "0 1 2 last")
		}},
		{"a resync covers what was missed", store.Config{ChannelCap: 1 << 20}, func(b *bench) {
			r := b.follow()
			var appended sync.WaitGroup
			stop := make(chan struct{})
			appended.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := b.Log.Append(b.Context(), msg(time.Hour, fmt.Sprint(i), ch(1))); err != nil {
						b.Errorf("append: %v", err)
						return
					}
				}
			})
			for i := range 5 {
				b.Cut()
				testkit.Eventually(b.T, "a resync", func() bool { return r.Resyncs() >= i+2 })
			}
			close(stop)
			appended.Wait()
			// The recorder has checked the order. A session reads the log after the last id before
			// a resync. That must return the rest.
			all, _ := b.all(proto.ID{}, ch(1))
			testkit.Eventually(b.T, "the end", func() bool {
				_, _, _, newest := r.State()
				return newest == b.head(proto.ID{})
			})
			for i, text := range all {
				if text != fmt.Sprint(i) {
					b.Fatalf("message %d of the log is %s", i, text)
				}
			}
		}},
		{"a log that lost data goes on with its followers", store.Config{}, func(b *bench) {
			r := b.follow()
			old := b.post(time.Hour, "a", ch(1))
			b.heard(r, "a")
			b.Flush()
			b.post(time.Hour, "b", ch(1))
			b.heard(r, "a b")
			b.Flush()
			b.Cut()
			testkit.Eventually(b.T, "a resync in a new epoch", func() bool {
				_, _, up, newest := r.State()
				return up && newest.Epoch > old.Epoch+1 && newest.Sequence == 0
			})
			b.post(time.Hour, "c", ch(1))
			b.heard(r, "a b c")
		}},
		{"concurrent appends share one order", store.Config{PageMessages: 50}, concurrentAppends},
	}
}

func concurrentAppends(b *bench) {
	const writers, each = 64, 20
	r := b.follow()
	var wg sync.WaitGroup
	var mu sync.Mutex
	given := make(map[proto.ID]string)
	for w := range writers {
		wg.Go(func() {
			last := proto.ID{}
			for i := range each {
				batch := []*proto.Message{msg(time.Hour, fmt.Sprintf("%d.%d.0", w, i), ch(1), ch(byte(2+w%3)))}
				if i%4 == 0 {
					batch = append(batch, msg(time.Hour, fmt.Sprintf("%d.%d.1", w, i), ch(1)))
				}
				receipts, err := b.Log.Append(b.Context(), batch...)
				if err != nil {
					b.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				for j, receipt := range receipts {
					if !receipt.ID.After(last) {
						b.Errorf("writer %d: id %v after %v", w, receipt.ID, last)
					}
					last = receipt.ID
					if other, ok := given[receipt.ID]; ok {
						b.Errorf("id %v for %s and %s", receipt.ID, other, batch[j].Body)
					}
					given[receipt.ID] = string(batch[j].Body)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	testkit.Eventually(b.T, "all notifications", func() bool { return len(r.IDs()) == len(given) })
	texts := r.Texts()
	for i, id := range r.IDs() {
		if given[id] != texts[i] {
			b.Errorf("%v is %q to the writer, %q to the follower", id, given[id], texts[i])
		}
	}
	all, gap := b.all(proto.ID{}, ch(1), ch(2), ch(3), ch(4))
	if !slices.Equal(all, texts) || gap {
		b.Errorf("the log holds %d messages, followers got %d; gap %v", len(all), len(texts), gap)
	}
	var channels []channel.ID
	for w := range 3 {
		channels = append(channels, ch(byte(2+w)))
	}
	if some, _ := b.all(proto.ID{}, channels...); len(some) != writers*each {
		b.Errorf("%d messages on the writers' channels, want %d", len(some), writers*each)
	}
}
