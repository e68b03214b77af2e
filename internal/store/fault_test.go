package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

func ch(n byte) channel.ID { return testkit.Channel(n) }

func msg(ttl time.Duration, body string, receivers ...channel.ID) *proto.Message {
	return &proto.Message{Receivers: receivers, Body: []byte(body), TTL: ttl, Created: time.Now()}
}

func post(t testing.TB, l *store.Log, m *proto.Message) proto.ID {
	t.Helper()
	receipts, err := l.Append(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].ID
}

// held returns the bodies of all that the log holds for one channel.
func held(t testing.TB, l *store.Log, id channel.ID) (bodies []string) {
	t.Helper()
	for after := (proto.ID{}); ; {
		p, err := l.History(context.Background(), []channel.ID{id}, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Messages {
			bodies = append(bodies, string(m.Body))
		}
		if !p.More {
			return bodies
		}
		after = p.Through
	}
}

var eventually = testkit.Eventually

// follow follows with f until the test ends, or end is called.
func follow(t testing.TB, l *store.Log, f proto.Follower) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Follow(ctx, f); !errors.Is(err, context.Canceled) {
			t.Errorf("follow: %v", err)
		}
	})
	end = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(end)
	return end
}

func recorder(t testing.TB, l *store.Log) *storetest.Recorder {
	t.Helper()
	r := storetest.NewRecorder(t)
	follow(t, l, r)
	eventually(t, "a resync", func() bool { return r.Resyncs() == 1 })
	return r
}

func TestLifeInRealTime(t *testing.T) {
	l := store.New(open(t, storetest.StartRedis(t).URL()), store.Config{}).Log("default")
	began := time.Now()
	post(t, l, msg(150*time.Millisecond, "short", ch(1)))
	post(t, l, msg(time.Hour, "long", ch(1)))
	if got := held(t, l, ch(1)); len(got) != 2 && time.Since(began) < 150*time.Millisecond {
		t.Errorf("held %q at once", got)
	}
	eventually(t, "the short one expires", func() bool { return len(held(t, l, ch(1))) == 1 })
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("expired after %v", took)
	}
}

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
	eventually(t, "notification", func() bool { return len(r.Texts()) >= 2 })
	if got := r.Texts(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("notified of %q", got)
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
	eventually(t, "appends again", func() bool {
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
	eventually(t, "all notifications", func() bool { return len(follower.Texts()) >= len(logs[0]) })
	if !slices.Equal(follower.Texts(), logs[0]) {
		t.Error("notifications differ from the log")
	}
}

func TestSilentLinkIsFoundDead(t *testing.T) {
	t.Parallel() // it waits
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	cfg := store.Config{Ping: 50 * time.Millisecond, Silence: 1500 * time.Millisecond}
	l := store.New(open(t, "redis://"+proxy.Addr()), cfg).Log("default")
	r := recorder(t, l)
	// An idle link is kept by its pings for longer than the silence that would end it.
	rdb := open(t, server.URL())
	began := time.Now()
	eventually(t, "pings for twice the silence", func() bool {
		stats, err := rdb.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(stats, "cmdstat_ping:calls=")
		var n int
		_, _ = fmt.Sscanf(rest, "%d", &n)
		return n > 5 && time.Since(began) > 2*cfg.Silence
	})
	if _, downs, up, _ := r.State(); !up || downs > 0 {
		t.Errorf("an idle link: up %v, %d downs", up, downs)
	}
	proxy.Stall()
	eventually(t, "the silence is noticed", func() bool { _, downs, _, _ := r.State(); return downs == 1 })
	missed := post(t, store.New(rdb, cfg).Log("default"), msg(time.Hour, "missed", ch(1)))
	proxy.Resume()
	eventually(t, "a resync", func() bool { return r.Resyncs() == 2 })
	if _, _, _, newest := r.State(); newest != missed {
		t.Errorf("resync at %v, want %v", newest, missed)
	}
}

func TestRedisRestartedEmpty(t *testing.T) {
	server := storetest.StartRedis(t)
	l := store.New(open(t, server.URL()), store.Config{}).Log("default")
	r := recorder(t, l)
	old := post(t, l, msg(time.Hour, "a", ch(1)))
	eventually(t, "notification", func() bool { return len(r.Texts()) == 1 })
	server.Stop()
	eventually(t, "down", func() bool { _, downs, _, _ := r.State(); return downs == 1 })
	if _, err := l.Append(t.Context(), msg(time.Hour, "b", ch(1))); err == nil {
		t.Error("appended to nothing")
	}
	server.Start()
	eventually(t, "a resync", func() bool { return r.Resyncs() == 2 })
	if id := post(t, l, msg(time.Hour, "c", ch(1))); id.Epoch <= old.Epoch {
		t.Errorf("id %v after %v", id, old)
	}
	eventually(t, "notification", func() bool { return len(r.Texts()) == 2 })
}

// slow is a follower that does not come back from its first message until it is let go.
type slow struct {
	*storetest.Recorder
	gate chan struct{}
}

func (s slow) Dispatch(m *proto.Message) {
	<-s.gate
	s.Recorder.Dispatch(m)
}

func TestSlowFollowerIsResynced(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t, "--client-output-buffer-limit", "pubsub 1mb 1mb 1").URL())
	l := store.New(rdb, store.Config{}).Log("default")
	s := slow{storetest.NewRecorder(t), make(chan struct{})}
	follow(t, l, s)
	eventually(t, "a resync", func() bool { return s.Resyncs() == 1 })
	body := strings.Repeat("x", 512<<10)
	for range 40 {
		post(t, l, msg(time.Minute, body, ch(1)))
	}
	close(s.gate)
	eventually(t, "a resync", func() bool { return s.Resyncs() == 2 })
	if n := len(s.Texts()); n >= 40 {
		t.Errorf("notified of all %d: nothing was lost, so nothing was tested", n)
	}
	last := post(t, l, msg(time.Minute, "last", ch(1)))
	eventually(t, "notification", func() bool { _, _, _, newest := s.State(); return newest == last })
}

func TestDamagedRecords(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	var mu sync.Mutex
	var damaged []proto.ID
	cfg := store.Config{PageMessages: 2, Damaged: func(id proto.ID, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			t.Error("damaged, and no error")
		}
		damaged = append(damaged, id)
	}}
	reported := func() []proto.ID {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(damaged)
	}
	l := store.New(rdb, cfg).Log("default")
	r := recorder(t, l)
	var ids []proto.ID
	for i := range 5 {
		ids = append(ids, post(t, l, msg(time.Hour, fmt.Sprint(i), ch(1))))
	}
	for _, i := range []int{0, 2, 3} {
		if err := rdb.Set(t.Context(), "pg:{default}:m:"+ids[i].String(), "garbage", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{"1", "4"}) {
		t.Errorf("held %q", got)
	}
	if got := reported(); !slices.Equal(got, []proto.ID{ids[0], ids[2], ids[3]}) {
		t.Errorf("reported %v", got)
	}
	next := ids[4]
	next.Sequence++
	for _, payload := range []string{"", "garbage", strings.Repeat("x", 40), next.String() + "garbage"} {
		if err := rdb.Publish(t.Context(), "pg:{default}:notify", payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all reported", func() bool { return len(reported()) == 3+4 })
	if got := reported()[6]; got != next {
		t.Errorf("reported %v, want %v", got, next)
	}
	if _, downs, up, _ := r.State(); downs > 0 || !up {
		t.Errorf("up %v, %d downs", up, downs)
	}
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

func TestOpen(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://localhost", "redis://", "unix://", "redis://:secret@local host", "redis://user:sec/ret@localhost",
		"redis://user:secret@localhost/notadb", "redis://user:secret@localhost?secret=1", "redis://:secret%zz@localhost",
	} {
		rdb, err := store.Open(url)
		if !errors.Is(err, store.ErrURL) || rdb != nil {
			t.Errorf("open %q: %v, %v", url, rdb, err)
		} else if strings.Contains(err.Error(), "sec") {
			t.Errorf("open %q says too much: %v", url, err)
		}
	}
	socket := t.TempDir() + "/redis.sock"
	server := storetest.StartRedis(t, "--unixsocket", socket, "--databases", "4")
	for _, url := range []string{server.URL(), server.URL() + "/3", "unix://" + socket, "unix://" + socket + "?db=2"} {
		l := store.New(open(t, url), store.Config{}).Log("default")
		post(t, l, msg(time.Hour, url, ch(1)))
	}
	l := store.New(open(t, "unix://"+socket+"?db=3"), store.Config{}).Log("default")
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{server.URL() + "/3"}) {
		t.Errorf("database 3 holds %q", got)
	}
	if rdb := open(t, "rediss://localhost:1/1"); rdb.(*redis.Client).Options().TLSConfig == nil {
		t.Error("rediss:// without TLS")
	}
}

func TestOneOutageIsOneDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int64
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tries.Add(1)
			conn.Close()
		}
	})
	defer accepting.Wait()
	defer ln.Close()
	r := storetest.NewRecorder(t)
	end := follow(t, store.New(open(t, "redis://"+ln.Addr().String()), store.Config{}).Log("default"), r)
	eventually(t, "several tries", func() bool { return tries.Load() > 4 })
	end()
	if resyncs, downs, _, _ := r.State(); resyncs != 0 || downs != 1 {
		t.Errorf("%d resyncs, %d downs", resyncs, downs)
	}
}

func TestDeadIDsAreSwept(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, store.Config{}).Log("default")
	for i := range 140 {
		if i == 100 {
			age(t, rdb, 2*time.Minute)
		}
		post(t, l, msg(time.Minute, "x", ch(1)))
	}
	n, err := rdb.LLen(t.Context(), "pg:{default}:c:"+ch(1).String()).Result()
	if err != nil || n > 80 {
		t.Errorf("a list of %d ids for 40 messages, %v", n, err)
	}
}
