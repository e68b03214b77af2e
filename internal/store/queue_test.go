package store_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// script stands in for Redis as the append script is seen from outside, so that appends can be
// watched in a bubble.
type script struct {
	answer chan error // what each call waits for; nil lets it succeed

	mu       sync.Mutex
	sequence uint64
	sent     []string // the bodies of each call, joined
}

func newScript(t *testing.T, cfg store.Config) (*script, *store.Log) {
	s := &script{answer: make(chan error)}
	rdb := open(t, "redis://127.0.0.1:1")
	rdb.AddHook(s)
	return s, store.New(rdb, cfg).Log("default")
}

// DialHook is of redis.Hook; nothing is dialled.
func (s *script) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook is of redis.Hook; nothing is pipelined.
func (s *script) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook answers in place of Redis.
func (s *script) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// EVALSHA, hash, 1, key; options; ttl, channels, record and key
		const before, options, each = 4, 5, 4
		var bodies []string
		for args := cmd.Args()[before+options:]; len(args) >= each; args = args[each:] {
			m, err := proto.DecodeRecord(proto.ID{}, args[2].([]byte))
			if err != nil {
				return err
			}
			bodies = append(bodies, string(m.Body))
		}
		s.mu.Lock()
		s.sent = append(s.sent, strings.Join(bodies, " "))
		s.sequence += uint64(len(bodies))
		newest := proto.ID{Epoch: 1_800_000_000, Sequence: s.sequence}
		s.mu.Unlock()
		var err error
		select {
		case err = <-s.answer:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			cmd.SetErr(err)
			return err
		}
		cmd.(interface{ SetVal(any) }).SetVal(newest.String())
		return nil
	}
}

func (s *script) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// result is how an append that was started in the background has ended.
type result struct {
	receipts []proto.Receipt
	err      error
	over     atomic.Bool // set last
}

// background appends one message and returns when it has been sent or is in the queue. The
// result may be read once it is over.
func background(ctx context.Context, l *store.Log, body string) *result {
	r := &result{}
	go func() {
		r.receipts, r.err = l.Append(ctx, &proto.Message{
			Receivers: []channel.ID{testkit.Channel(1)}, Body: []byte(body), TTL: time.Hour,
		})
		r.over.Store(true)
	}()
	synctest.Wait()
	return r
}

func wantCalls(t *testing.T, s *script, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.calls(); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestAppendsTravelTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		var results []*result
		for _, body := range []string{"a", "b", "c", "d"} {
			results = append(results, background(t.Context(), l, body))
		}
		wantCalls(t, s, "a")
		s.answer <- nil
		wantCalls(t, s, "a", "b c d")
		if !results[0].over.Load() || results[1].over.Load() {
			t.Error("an append was answered with another's call")
		}
		s.answer <- nil
		synctest.Wait()
		for i, r := range results {
			if r.err != nil || len(r.receipts) != 1 || r.receipts[0].ID.Sequence != uint64(i+1) {
				t.Errorf("append %d: %+v, %v", i, r.receipts, r.err)
			}
		}
		background(t.Context(), l, "e")
		wantCalls(t, s, "a", "b c d", "e")
		s.answer <- nil
	})
}

func TestCallsOfTheScriptAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		background(t.Context(), l, "first")
		for range 600 {
			background(t.Context(), l, "x")
		}
		large := strings.Repeat("y", 400<<10)
		for range 3 {
			background(t.Context(), l, large)
		}
		background(t.Context(), l, strings.Repeat("z", 2<<20))
		for range 6 {
			s.answer <- nil
			synctest.Wait()
		}
		var counts []int
		for _, call := range s.calls() {
			counts = append(counts, len(strings.Fields(call)))
		}
		if want := []int{1, 256, 256, 88 + 2, 1, 1}; !slices.Equal(counts, want) {
			t.Errorf("messages in each call %v, want %v", counts, want)
		}
	})
}

func TestWaiterLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		background(t.Context(), l, "a")
		ctx, cancel := context.WithCancel(t.Context())
		b := background(ctx, l, "b")
		c := background(t.Context(), l, "c")
		cancel()
		synctest.Wait()
		if !b.over.Load() || !errors.Is(b.err, context.Canceled) {
			t.Errorf("a waiter whose context has ended: over %v, %v", b.over.Load(), b.err)
		}
		s.answer <- nil
		s.answer <- nil
		wantCalls(t, s, "a", "c")
		if c.err != nil || !c.over.Load() {
			t.Errorf("the next in the queue: over %v, %v", c.over.Load(), c.err)
		}
	})
}

// A waiter's context may end in the moment in which it is to lead the queue; the queue must not
// stand for ever then.
func TestWaiterLeavesWhenItIsToLead(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t, store.Config{})
			background(t.Context(), l, "a")
			ctx, cancel := context.WithCancel(t.Context())
			b := background(ctx, l, "b")
			c := background(t.Context(), l, "c")
			go cancel()
			s.answer <- nil
			synctest.Wait()
			close(s.answer)
			synctest.Wait()
			if !b.over.Load() || !c.over.Load() || c.err != nil {
				t.Errorf("over %v, %v: %v", b.over.Load(), c.over.Load(), c.err)
			}
			d := background(t.Context(), l, "d")
			if !d.over.Load() || d.err != nil {
				t.Errorf("the queue is stuck: over %v, %v", d.over.Load(), d.err)
			}
		})
	}
}

func TestLeaderIsNotCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		a := background(ctx, l, "a")
		cancel()
		synctest.Wait()
		if a.over.Load() {
			t.Fatalf("the leader left its call: %v", a.err)
		}
		s.answer <- nil
		synctest.Wait()
		if a.err != nil || !a.over.Load() {
			t.Errorf("over %v, %v", a.over.Load(), a.err)
		}
		if b := background(ctx, l, "b"); !errors.Is(b.err, context.Canceled) {
			t.Errorf("an append that was over before it began: %v", b.err)
		}
		wantCalls(t, s, "a")
	})
}

// Redis stalls: every append fails when its own time is over, and none before.
func TestStalledRedisFailsEveryAppendInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		over := func(r *result, want bool) {
			t.Helper()
			synctest.Wait()
			if r.over.Load() != want || want && !errors.Is(r.err, context.DeadlineExceeded) {
				t.Errorf("over %v, %v, want over %v", r.over.Load(), r.err, want)
			}
		}
		a, b := background(t.Context(), l, "a"), background(t.Context(), l, "b")
		time.Sleep(500 * time.Millisecond)
		c := background(t.Context(), l, "c")
		time.Sleep(200*time.Millisecond - 1)
		for _, r := range []*result{a, b, c} {
			over(r, false)
		}
		time.Sleep(time.Nanosecond)
		over(a, true)
		over(b, true)
		time.Sleep(500*time.Millisecond - 1)
		over(c, false)
		time.Sleep(time.Nanosecond)
		over(c, true)
		d := background(t.Context(), l, "d")
		s.answer <- nil
		synctest.Wait()
		if calls := s.calls(); calls[len(calls)-1] != "d" || d.err != nil {
			t.Errorf("after the stall: calls %q, %v", calls, d.err)
		}
	})
}

// A post that has waited in the queue leads the next round trip with little time left. Those who
// share the round trip have their own time, and so have those that came during it.
func TestLateLeaderDoesNotFailFreshPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		background(within(800*time.Millisecond), l, "a")
		b := background(within(610*time.Millisecond), l, "b")
		time.Sleep(600 * time.Millisecond)
		c := background(within(800*time.Millisecond), l, "c")
		s.answer <- nil // to a; b leads with 10 ms left
		wantCalls(t, s, "a", "b c")
		d := background(within(800*time.Millisecond), l, "d")
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if !b.over.Load() || !errors.Is(b.err, context.DeadlineExceeded) {
			t.Errorf("the late leader: over %v, %v", b.over.Load(), b.err)
		}
		if c.over.Load() || d.over.Load() {
			t.Fatalf("fresh posts failed after 10 ms: %v, %v", c.err, d.err)
		}
		time.Sleep(100 * time.Millisecond)
		s.answer <- nil
		s.answer <- nil
		wantCalls(t, s, "a", "b c", "d")
		for _, r := range []*result{c, d} {
			if !r.over.Load() || r.err != nil || len(r.receipts) != 1 {
				t.Errorf("over %v: %v, %v", r.over.Load(), r.receipts, r.err)
			}
		}
	})
}

// An append that waited in the queue and then leads it must be answered by its own deadline.
func TestLeaderKeepsItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		background(t.Context(), l, "a")
		ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
		defer cancel()
		b := background(ctx, l, "b")
		time.Sleep(600 * time.Millisecond)
		s.answer <- nil // to a; b leads, and Redis stalls
		time.Sleep(200*time.Millisecond - 1)
		synctest.Wait()
		if b.over.Load() {
			t.Errorf("over early: %v", b.err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !b.over.Load() || !errors.Is(b.err, context.DeadlineExceeded) {
			t.Errorf("at its deadline: over %v, %v", b.over.Load(), b.err)
		}
	})
}

func TestBrokenCallFailsOnlyThoseInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		a, b := background(t.Context(), l, "a"), background(t.Context(), l, "b")
		s.answer <- &net.OpError{Op: "read", Err: errors.New("connection reset")}
		s.answer <- nil
		wantCalls(t, s, "a", "b") // and "a" is not sent again
		if !a.over.Load() || a.err == nil || !b.over.Load() || b.err != nil {
			t.Errorf("over %v, %v; over %v, %v", a.over.Load(), a.err, b.over.Load(), b.err)
		}
	})
}

func TestAppendBudget(t *testing.T) {
	s, l := newScript(t, store.Config{})
	close(s.answer)
	ctx := t.Context()
	m := &proto.Message{Receivers: []channel.ID{testkit.Channel(1)}, Body: make([]byte, 256), TTL: time.Hour}
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := l.Append(ctx, m); err != nil {
			t.Fatal(err)
		}
	})
	// Among them the stand-in's own, about eight.
	if budget := 40.0; allocs > budget {
		t.Errorf("%v allocations for an append, want at most %v", allocs, budget)
	}
}
