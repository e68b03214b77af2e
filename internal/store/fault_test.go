package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

func TestScriptsAreSentAgainWhenForgotten(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, store.Config{}).Log("default")
	for _, body := range []string{"a", "b"} {
		post(t, l, msg(time.Hour, body, ch(1)))
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		held(t, l, ch(1))
	}
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("held %q", got)
	}
}

func TestFullRedisRefusesWhole(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, store.Config{}).Log("default")
	r := recorder(t, l)
	first := post(t, l, msg(time.Hour, "a", ch(1)))
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*proto.Message{msg(time.Hour, "b", ch(1)), msg(0, "t", ch(1))} {
		if _, err := l.Append(t.Context(), m); !redis.HasErrorPrefix(errors.Unwrap(err), "OOM") {
			t.Errorf("append to a full Redis: %v", err)
		}
	}
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("held %q", got)
	}
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if id := post(t, l, msg(time.Hour, "c", ch(1))); id.Sequence != first.Sequence+1 {
		t.Errorf("id %v after %v", id, first)
	}
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) >= 2 })
	if got := r.Texts(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("the follower got %q", got)
	}
}

func TestStalledLinkFailsAppendsInTime(t *testing.T) {
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	const timeout = 200 * time.Millisecond
	l := store.New(open(t, "redis://"+proxy.Addr()), store.Config{Timeout: timeout}).Log("default")
	post(t, l, msg(time.Hour, "before", ch(1)))
	proxy.Stall()
	const late = timeout + 500*time.Millisecond
	slowest := late + 1
	// A busy machine may be late, a log that waits too long always is.
	for try := 0; try < 5 && slowest > late; try++ {
		var took [20]time.Duration
		var wg sync.WaitGroup
		for i := range took {
			wg.Go(func() {
				began := time.Now()
				if _, err := l.Append(context.Background(), msg(time.Hour, fmt.Sprint(try, i), ch(1))); err == nil {
					t.Error("appended on a stalled link")
				}
				took[i] = time.Since(began)
			})
		}
		wg.Wait()
		slowest = slices.Max(took[:])
	}
	if slowest > late {
		t.Errorf("appends on a stalled link fail after %v", slowest)
	}
	proxy.Resume()
	testkit.Eventually(t, "appends again", func() bool {
		_, err := l.Append(context.Background(), msg(time.Hour, "after", ch(2)))
		return err == nil
	})
	got := held(t, l, ch(1))
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("doubled: %q", got)
	}
}

// The link is cut again and again in the middle of answers, through a client that would send again
// what was not answered.
func TestCutDuringAppendLeavesWholeMessagesOnce(t *testing.T) {
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	opt := open(t, "redis://"+proxy.Addr()).(*redis.Client).Options()
	opt.MaxRetries = 5
	eager := redis.NewClient(opt)
	defer eager.Close()
	l := store.New(eager, store.Config{}).Log("default")
	direct := store.New(open(t, server.URL()), store.Config{}).Log("default")
	follower := recorder(t, direct)

	const writers, each = 4, 60
	fate := make([]map[string]error, writers)
	var writing sync.WaitGroup
	var done atomic.Int64
	for w := range writers {
		fate[w] = make(map[string]error)
		writing.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d.%d", w, i)
				_, err := l.Append(context.Background(),
					msg(time.Hour, body+"a", ch(1), ch(2), ch(3)), msg(time.Hour, body+"b", ch(3), ch(1), ch(2)))
				fate[w][body] = err
				if n := int(done.Add(1)); err == nil && n%3 == 0 {
					// Of the 33 bytes of an answer: none, some, all but its end.
					proxy.CutAfter(n % 33)
				}
			}
		})
	}
	writing.Wait()
	logs := [][]string{held(t, direct, ch(1)), held(t, direct, ch(2)), held(t, direct, ch(3))}
	if !slices.Equal(logs[0], logs[1]) || !slices.Equal(logs[0], logs[2]) {
		t.Fatalf("channels differ: %d, %d, %d messages", len(logs[0]), len(logs[1]), len(logs[2]))
	}
	times := make(map[string]int)
	for _, body := range logs[0] {
		times[body]++
	}
	failed, failedAndThere := 0, 0
	for _, results := range fate {
		for body, err := range results {
			a, b := times[body+"a"], times[body+"b"]
			if err != nil {
				failed++
				failedAndThere += a
			}
			if a != b || a > 1 || err == nil && a != 1 {
				t.Errorf("%s (%v) is there %d and %d times", body, err, a, b)
			}
		}
	}
	if failedAndThere == 0 {
		t.Errorf("no cut hit an answer: %d failed, none of them done", failed)
	}
	testkit.Eventually(t, "all notifications", func() bool { return len(follower.Texts()) >= len(logs[0]) })
	if !slices.Equal(follower.Texts(), logs[0]) {
		t.Error("notifications differ from the log")
	}
}

func TestRedisRestartedEmpty(t *testing.T) {
	server := storetest.StartRedis(t)
	l := store.New(open(t, server.URL()), store.Config{}).Log("default")
	r := recorder(t, l)
	old := post(t, l, msg(time.Hour, "a", ch(1)))
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 1 })
	server.Stop()
	testkit.Eventually(t, "down", func() bool { _, downs, _, _ := r.State(); return downs == 1 })
	if _, err := l.Append(t.Context(), msg(time.Hour, "b", ch(1))); err == nil {
		t.Error("appended to nothing")
	}
	server.Start()
	testkit.Eventually(t, "a resync", func() bool { return r.Resyncs() == 2 })
	if id := post(t, l, msg(time.Hour, "c", ch(1))); id.Epoch <= old.Epoch {
		t.Errorf("id %v after %v", id, old)
	}
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 2 })
}

// Lua numbers are doubles: a new epoch opens before they lose count.
func TestSequenceEndsInANewEpoch(t *testing.T) {
	for name, addr := range map[string]string{"redis": storetest.StartRedis(t).Addr(), "miniredis": miniredis.RunT(t).Addr()} {
		t.Run(name, func(t *testing.T) {
			rdb := open(t, "redis://"+addr)
			l := store.New(rdb, store.Config{}).Log("default")
			if err := rdb.Set(t.Context(), "pg:{default}:head", "99000000008999999999999997", 0).Err(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"99000000008999999999999998", "99000000008999999999999999", "99000000009000000000000000",
				"99000000010000000000000001"} {
				if id := post(t, l, msg(time.Hour, want, ch(1))); id.String() != want {
					t.Errorf("id %v, want %v", id, want)
				}
			}
			if got := held(t, l, ch(1)); len(got) != 4 || !slices.IsSorted(got) {
				t.Errorf("held %q", got)
			}
		})
	}
}
