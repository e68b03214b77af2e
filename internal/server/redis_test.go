package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/store"
)

// said is a Redis of which only what it says of itself matters.
type said struct {
	mu    sync.Mutex
	nodes []store.Node
	err   error
	looks int
}

// Inspect implements [inspector].
func (s *said) Inspect(context.Context) ([]store.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return slices.Clone(s.nodes), s.err
}

// change changes what is said.
func (s *said) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// good is a node whose settings endanger nothing.
var good = store.Node{Address: "a:6379", Version: "7.0.15", Eviction: "noeviction", MaxMemory: 1 << 30, AOF: "on", PubSub: "0 0 0"}

// inWatch runs a test with a watch that runs in a bubble. left is what it was asked to end with.
func inWatch(t *testing.T, strict bool, redis *said, test func(t *testing.T, w *watch, lines *strings.Builder, left *error)) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		var left error
		w := newWatch(redis, strict, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&lines, nil)))
		ctx, end := context.WithCancel(t.Context())
		go w.run(ctx, func(err error) { left = err })
		synctest.Wait()
		test(t, w, &lines, &left)
		end()
		synctest.Wait()
	})
}

// risk returns what the metric says of a risk; -1 if it says nothing.
func (w *watch) riskOf(name string) float64 {
	before := testutil.CollectAndCount(w.risk)
	value := testutil.ToFloat64(w.risk.WithLabelValues(name))
	if testutil.CollectAndCount(w.risk) != before {
		w.risk.DeleteLabelValues(name)
		return -1
	}
	return value
}

// TestRisksAreReportedOncePerChange: in the log, while the metric and the details always say how it
// is.
func TestRisksAreReportedOncePerChange(t *testing.T) {
	evicting := good
	evicting.Address, evicting.Eviction = "b:6379", "allkeys-lru"
	redis := &said{nodes: []store.Node{good, evicting}}
	inWatch(t, false, redis, func(t *testing.T, w *watch, lines *strings.Builder, left *error) {
		check := func(what string, warnings int, gone int, eviction, persistence float64) {
			t.Helper()
			synctest.Wait()
			if n := strings.Count(lines.String(), "level=WARN"); n != warnings {
				t.Errorf("%s: %d warnings, want %d:\n%s", what, n, warnings, lines)
			}
			if n := strings.Count(lines.String(), "no more"); n != gone {
				t.Errorf("%s: %d risks are gone, want %d:\n%s", what, n, gone, lines)
			}
			if e, p := w.riskOf("eviction"), w.riskOf("persistence"); e != eviction || p != persistence {
				t.Errorf("%s: eviction %v, persistence %v", what, e, p)
			}
			shown := strings.Join(w.details(), "\n")
			if !strings.Contains(shown, "redis a:6379: version 7.0.15") || strings.Contains(shown, "risk of eviction") != (eviction == 1) {
				t.Errorf("%s: %s", what, shown)
			}
		}
		check("one evicts", 1, 0, 1, 0)
		if text := lines.String(); !strings.Contains(text, "node=b:6379") || !strings.Contains(text, "set noeviction") {
			t.Error(text)
		}
		time.Sleep(10 * lookInterval)
		check("nothing has changed", 1, 0, 1, 0)
		redis.change(func() { redis.nodes[0].AOF = "off" })
		time.Sleep(lookInterval)
		check("the other one stores nothing", 2, 0, 1, 1)
		redis.change(func() { redis.nodes[1].Eviction = "noeviction" })
		time.Sleep(lookInterval)
		check("none evicts", 2, 1, 0, 1)
		redis.change(func() { redis.nodes[0].AOF, redis.nodes[1].AOF = "", "" })
		time.Sleep(lookInterval)
		check("none says whether it stores", 2, 2, 0, -1)
		redis.change(func() { redis.nodes[1].Eviction = "allkeys-lru" })
		time.Sleep(lookInterval)
		check("it evicts again", 3, 2, 1, -1)
		if *left != nil {
			t.Errorf("it ends the program without being strict: %v", *left)
		}
	})
}

// TestMemoryOfRedis: the metrics have what each server says that it uses, and its limit if it has
// one. They do not keep what a former master said.
func TestMemoryOfRedis(t *testing.T) {
	node, other := good, good
	node.Memory, other.Address, other.Memory, other.MaxMemory = 100, "b:6379", 200, 0
	redis := &said{nodes: []store.Node{node, other}}
	inWatch(t, false, redis, func(t *testing.T, w *watch, _ *strings.Builder, _ *error) {
		check := func(what string, memory, limits int) {
			t.Helper()
			synctest.Wait()
			if m, l := testutil.CollectAndCount(w.memory), testutil.CollectAndCount(w.limit); m != memory || l != limits {
				t.Errorf("%s: memory of %d servers, limits of %d", what, m, l)
			}
		}
		check("two servers, one without a limit", 2, 1)
		if m, l := testutil.ToFloat64(w.memory.WithLabelValues("b:6379")), testutil.ToFloat64(w.limit.WithLabelValues("a:6379")); m != 200 || l != 1<<30 {
			t.Errorf("memory %v, limit %v", m, l)
		}
		redis.change(func() { redis.nodes = []store.Node{other} })
		time.Sleep(lookInterval)
		check("one of them has gone", 1, 0)
		redis.change(func() { redis.nodes[0].Memory = -1 })
		time.Sleep(lookInterval)
		check("it does not say", 0, 0)
	})
}

// TestRedisThatIsAwayIsLookedAtSoon: the time between two looks is for those that succeed.
func TestRedisThatIsAwayIsLookedAtSoon(t *testing.T) {
	redis := &said{err: errors.New("connection refused")}
	inWatch(t, true, redis, func(t *testing.T, w *watch, lines *strings.Builder, left *error) {
		if shown := strings.Join(w.details(), "\n"); shown != "redis: connection refused" || *left != nil {
			t.Errorf("%s, %v", shown, *left)
		}
		evicting := good
		evicting.Eviction = "allkeys-lru"
		redis.change(func() { redis.err, redis.nodes = nil, []store.Node{evicting} })
		time.Sleep(lookAgain)
		synctest.Wait()
		// It is the first look that counts, whenever it is.
		if !errors.Is(*left, errRisk) || !strings.Contains((*left).Error(), "maxmemory-policy is allkeys-lru") {
			t.Errorf("%v", *left)
		}
	})
}

// TestStrictLooksAtTheStart: a risk that comes later does not end what works.
func TestStrictLooksAtTheStart(t *testing.T) {
	redis := &said{nodes: []store.Node{good}}
	inWatch(t, true, redis, func(t *testing.T, w *watch, lines *strings.Builder, left *error) {
		redis.change(func() { redis.nodes[0].Eviction = "allkeys-lru" })
		time.Sleep(lookInterval)
		synctest.Wait()
		if *left != nil || redis.looks != 2 || strings.Count(lines.String(), "level=WARN") != 1 {
			t.Errorf("%v, %d looks, %s", *left, redis.looks, lines)
		}
	})
}
