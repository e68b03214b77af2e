package pubsub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/store"
	"pushgate/internal/store/pubsub"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // the tests break connections on purpose
	testkit.Main(m)
}

// calm is for tests that count how often a connection was lost: on a busy machine nothing is late.
func calm() pubsub.Config {
	return pubsub.Config{Timeout: 30 * time.Second, Ping: 10 * time.Second, Silence: time.Minute, Canary: time.Second}
}

// open makes a client that ends with the test.
func open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// recorder records the events of a listener, as words: subscribed, lost, ended, or "=" and the
// payload.
type recorder struct {
	stop func()

	mu     sync.Mutex
	events []string
}

// listen records the events of a topic until the test ends, stop is called, or the listener ends.
func listen(t testing.TB, s *pubsub.Subscriber, topic string) *recorder {
	t.Helper()
	lis, err := s.Listen(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return record(t, lis)
}

func record(t testing.TB, lis *pubsub.Listener) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{}
	var recording sync.WaitGroup
	recording.Go(func() {
		defer lis.Close()
		var events []pubsub.Event
		for {
			var err error
			if events, err = lis.Next(ctx, events); err != nil {
				return
			}
			for _, e := range events {
				if r.add(t, e); e.Kind == pubsub.Ended {
					return
				}
			}
		}
	})
	r.stop = func() {
		cancel()
		recording.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) add(t testing.TB, e pubsub.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := slices.ContainsFunc(r.events, func(s string) bool { return s == "subscribed" }) && r.events[len(r.events)-1] != "lost"
	switch e.Kind {
	case pubsub.Message:
		if !up {
			t.Errorf("message %.20q after %q", e.Payload, r.events)
		}
		r.events = append(r.events, "="+e.Payload)
	case pubsub.Subscribed:
		r.events = append(r.events, "subscribed")
	case pubsub.Lost, pubsub.Ended:
		if e.Err == nil {
			t.Error("an end without an error")
		}
		r.events = append(r.events, map[pubsub.Kind]string{pubsub.Lost: "lost", pubsub.Ended: "ended"}[e.Kind])
	}
}

// got returns the events so far.
func (r *recorder) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// await waits for exactly these events.
func (r *recorder) await(t testing.TB, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !slices.Equal(r.got(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("events %.200q, want %.200q", r.got(), want)
		}
	}
}

func publish(t testing.TB, rdb redis.UniversalClient, topic, payload string) {
	t.Helper()
	if err := rdb.Publish(context.Background(), topic, payload).Err(); err != nil {
		t.Fatal(err)
	}
}

// connections returns how many connections of a server subscribe, and to how many topics of tests.
func connections(t testing.TB, rdb redis.UniversalClient) (n, topics int) {
	t.Helper()
	list, err := rdb.Do(context.Background(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	names, err := rdb.PubSubChannels(context.Background(), "*:notify").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "\n"), len(names)
}

func TestManyTopicsShareOneConnection(t *testing.T) {
	const topics = 600 // more than one command subscribes to
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	direct := open(t, server.URL())
	s := pubsub.New(open(t, "redis://"+proxy.Addr()), calm())
	name := func(i int) string { return fmt.Sprintf("{%d}:notify", i) }
	recorders := make([]*recorder, topics)
	for i := range recorders {
		recorders[i] = listen(t, s, name(i))
	}
	again := listen(t, s, name(0))
	all := append(slices.Clone(recorders), again)
	for _, r := range all {
		r.await(t, "subscribed")
	}
	for i := range topics {
		publish(t, direct, name(i), fmt.Sprint("a", i))
	}
	for i, r := range all {
		r.await(t, "subscribed", fmt.Sprint("=a", i%topics))
	}
	if n, names := connections(t, direct); n != 1 || names != topics {
		t.Errorf("%d connections, %d topics", n, names)
	}
	proxy.Cut()
	for i, r := range all {
		r.await(t, "subscribed", fmt.Sprint("=a", i%topics), "lost", "subscribed")
	}
	for i := range topics {
		publish(t, direct, name(i), fmt.Sprint("b", i))
	}
	for i, r := range all {
		r.await(t, "subscribed", fmt.Sprint("=a", i%topics), "lost", "subscribed", fmt.Sprint("=b", i%topics))
	}
	for _, r := range recorders[:topics/2] {
		r.stop()
	}
	testkit.Eventually(t, "half of the topics", func() bool {
		n, names := connections(t, direct)
		return n == 1 && names == topics/2+1 // the first one has another listener
	})
	publish(t, direct, name(0), "c")
	again.await(t, "subscribed", "=a0", "lost", "subscribed", "=b0", "=c")
	for _, r := range all {
		r.stop()
	}
	testkit.Eventually(t, "no connection", func() bool { n, _ := connections(t, direct); return n == 0 })
}

// A listener whose caller takes nothing ends alone, with the memory that it may use.
func TestSlowListenerHarmsOnlyItself(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	s := pubsub.New(rdb, calm())
	slow, err := s.Listen(t.Context(), "{slow}:notify")
	if err != nil {
		t.Fatal(err)
	}
	quick := listen(t, s, "{quick}:notify")
	testkit.Eventually(t, "both topics", func() bool { _, topics := connections(t, rdb); return topics == 2 })
	body := strings.Repeat("x", 512<<10)
	want := []string{"subscribed"}
	for i := range 20 {
		publish(t, rdb, "{slow}:notify", body)
		publish(t, rdb, "{quick}:notify", fmt.Sprint(i))
		want = append(want, fmt.Sprint("=", i))
	}
	quick.await(t, want...)
	record(t, slow).await(t, "ended")
	again := listen(t, s, "{slow}:notify")
	again.await(t, "subscribed")
	publish(t, rdb, "{slow}:notify", "y")
	again.await(t, "subscribed", "=y")
	quick.await(t, want...)
}

// A connection that is idle is kept by its pings, and one that is silent is replaced.
func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel() // it waits
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	cfg := calm()
	cfg.Ping, cfg.Silence, cfg.Canary = 50*time.Millisecond, 1500*time.Millisecond, time.Hour
	r := listen(t, pubsub.New(open(t, "redis://"+proxy.Addr()), cfg), "{a}:notify")
	r.await(t, "subscribed")
	began := time.Now()
	testkit.Eventually(t, "twice the silence", func() bool { return time.Since(began) > 2*cfg.Silence })
	r.await(t, "subscribed")
	proxy.Stall()
	r.await(t, "subscribed", "lost")
	proxy.Resume()
	r.await(t, "subscribed", "lost", "subscribed")
}
