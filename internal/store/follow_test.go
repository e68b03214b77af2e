package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

// listeners returns how many connections listen for notifications, and of how many portals.
func listeners(t testing.TB, rdb redis.UniversalClient) (connections, portals int) {
	t.Helper()
	list, err := rdb.Do(context.Background(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	topics, err := rdb.PubSubChannels(context.Background(), "*:notify").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "\n"), len(topics)
}

// sluggish is a client that holds back what concerns one key.
type sluggish struct {
	key  string
	gate chan struct{}
}

func (s sluggish) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s sluggish) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s sluggish) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.Contains(cmd.Args(), any(s.key)) {
			<-s.gate
		}
		return next(ctx, cmd)
	}
}

func TestSlowResyncHoldsUpNobodyElse(t *testing.T) {
	server := storetest.StartRedis(t)
	logs := store.New(open(t, server.URL()), calm())
	rdb := open(t, server.URL())
	gate := make(chan struct{})
	rdb.AddHook(sluggish{"pg:{slow}:head", gate})
	followed := store.New(rdb, calm())
	quick := recorder(t, followed.Log("quick"))
	slow := storetest.NewRecorder(t)
	follow(t, followed.Log("slow"), slow)
	testkit.Eventually(t, "both topics", func() bool { _, topics := listeners(t, rdb); return topics == 2 })
	for i := range 50 {
		post(t, logs.Log("slow"), msg(time.Minute, fmt.Sprint(i), ch(1)))
		post(t, logs.Log("quick"), msg(time.Minute, fmt.Sprint(i), ch(1)))
	}
	testkit.Eventually(t, "notifications", func() bool { return len(quick.Texts()) == 50 })
	if slow.Resyncs() != 0 || len(slow.Texts()) != 0 {
		t.Error("the slow one was not slow")
	}
	close(gate)
	last := post(t, logs.Log("slow"), msg(time.Minute, "last", ch(1)))
	testkit.Eventually(t, "the slow one comes up", func() bool { _, _, _, newest := slow.State(); return newest == last })
	for _, r := range []*storetest.Recorder{slow, quick} {
		if resyncs, downs, up, _ := r.State(); resyncs != 1 || downs != 0 || !up {
			t.Errorf("%d resyncs, %d downs, up %v", resyncs, downs, up)
		}
	}
}

// gapless is a follower that wants every id after its resync.
type gapless struct {
	t      *testing.T
	newest proto.ID
	up     bool
	heard  int
}

func (g *gapless) Resync(head proto.ID) { g.newest, g.up = head, true }

func (g *gapless) Dispatch(m *proto.Message) {
	if !g.up || m.ID.Epoch != g.newest.Epoch || m.ID.Sequence != g.newest.Sequence+1 {
		g.t.Errorf("%v after %v, up %v", m.ID, g.newest, g.up)
	}
	g.newest = m.ID
	g.heard++
}

func (g *gapless) Down(error) { g.up = false }

// Followers begin and end all the time, and the link is cut, while messages are appended.
func TestFollowersComeAndGo(t *testing.T) {
	const portals, each, rounds = 4, 6, 25
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	logs := store.New(open(t, server.URL()), calm())
	followed := store.New(open(t, "redis://"+proxy.Addr()), calm())
	stop := make(chan struct{})
	var appending, following sync.WaitGroup
	for p := range portals {
		l := logs.Log(fmt.Sprint(p))
		post(t, l, msg(time.Minute, "first", ch(1)))
		appending.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := l.Append(t.Context(), msg(time.Minute, "x", ch(1))); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	heard := make([]int, portals*each)
	for i := range portals * each {
		l := followed.Log(fmt.Sprint(i % portals))
		following.Go(func() {
			for round := 0; round < rounds || heard[i] == 0 && round < 20*rounds; round++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(60))*time.Millisecond)
				g := &gapless{t: t}
				if err := l.Follow(ctx, g); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("follow: %v", err)
				}
				cancel()
				heard[i] += g.heard
			}
		})
	}
	for range 2 { // more of them would make the link wait for longer than the followers stay
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		proxy.Cut()
	}
	following.Wait()
	close(stop)
	appending.Wait()
	if i := slices.Index(heard, 0); i >= 0 {
		t.Errorf("follower %d heard nothing", i)
	}
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
	testkit.Eventually(t, "a resync", func() bool { return s.Resyncs() == 1 })
	body := strings.Repeat("x", 512<<10)
	for range 40 {
		post(t, l, msg(time.Minute, body, ch(1)))
	}
	close(s.gate)
	testkit.Eventually(t, "a resync", func() bool { return s.Resyncs() == 2 })
	if n := len(s.Texts()); n >= 40 {
		t.Errorf("got all %d: nothing was lost, so nothing was tested", n)
	}
	last := post(t, l, msg(time.Minute, "last", ch(1)))
	testkit.Eventually(t, "notification", func() bool { _, _, _, newest := s.State(); return newest == last })
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
	testkit.Eventually(t, "several tries", func() bool { return tries.Load() > 4 })
	end()
	if resyncs, downs, _, _ := r.State(); resyncs != 0 || downs != 1 {
		t.Errorf("%d resyncs, %d downs", resyncs, downs)
	}
}
