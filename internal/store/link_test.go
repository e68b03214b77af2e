package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
	"pushgate/internal/store"
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

func TestManyPortalsShareOneLink(t *testing.T) {
	const portals = 200
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	direct := open(t, server.URL())
	logs := store.New(direct, calm())
	followed := store.New(open(t, "redis://"+proxy.Addr()), calm())
	name := func(i int) string { return fmt.Sprint("portal-", i) }
	recorders := make([]*storetest.Recorder, portals)
	ends := make([]func(), portals)
	for i := range portals {
		recorders[i] = storetest.NewRecorder(t)
		ends[i] = follow(t, followed.Log(name(i)), recorders[i])
	}
	again := storetest.NewRecorder(t)
	follow(t, followed.Log(name(0)), again)
	all := func(resyncs int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(append(recorders, again), func(r *storetest.Recorder) bool { return r.Resyncs() != resyncs })
		}
	}
	round := func(text string) {
		t.Helper()
		for i := range portals {
			post(t, logs.Log(name(i)), msg(time.Minute, fmt.Sprint(text, i), ch(1)))
		}
		for i, r := range append(recorders, again) {
			eventually(t, "a notification", func() bool { return slices.Contains(r.Texts(), fmt.Sprint(text, i%portals)) })
		}
	}
	eventually(t, "resyncs", all(1))
	round("a")
	if connections, n := listeners(t, direct); connections != 1 || n != portals {
		t.Errorf("%d connections for %d portals", connections, n)
	}
	proxy.Cut()
	eventually(t, "resyncs", all(2))
	round("b")
	for i, r := range append(recorders, again) {
		want := []string{fmt.Sprint("a", i%portals), fmt.Sprint("b", i%portals)}
		if _, downs, up, _ := r.State(); !slices.Equal(r.Texts(), want) || downs != 1 || !up {
			t.Errorf("portal %d was notified of %q, down %d times", i, r.Texts(), downs)
		}
	}
	for _, end := range ends[:portals/2] {
		end()
	}
	eventually(t, "half of the topics", func() bool {
		connections, topics := listeners(t, direct)
		return connections == 1 && topics == portals/2+1 // the first one is followed again
	})
	if _, downs, up, _ := again.State(); downs != 1 || !up {
		t.Errorf("another who follows the same portal: up %v, down %d times", up, downs)
	}
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
	eventually(t, "both topics", func() bool { _, topics := listeners(t, rdb); return topics == 2 })
	for i := range 50 {
		post(t, logs.Log("slow"), msg(time.Minute, fmt.Sprint(i), ch(1)))
		post(t, logs.Log("quick"), msg(time.Minute, fmt.Sprint(i), ch(1)))
	}
	eventually(t, "notifications", func() bool { return len(quick.Texts()) == 50 })
	if slow.Resyncs() != 0 || len(slow.Texts()) != 0 {
		t.Error("the slow one was not slow")
	}
	close(gate)
	last := post(t, logs.Log("slow"), msg(time.Minute, "last", ch(1)))
	eventually(t, "the slow one comes up", func() bool { _, _, _, newest := slow.State(); return newest == last })
	for _, r := range []*storetest.Recorder{slow, quick} {
		if resyncs, downs, up, _ := r.State(); resyncs != 1 || downs != 0 || !up {
			t.Errorf("%d resyncs, %d downs, up %v", resyncs, downs, up)
		}
	}
}

func TestSlowFollowerHarmsOnlyItself(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	logs := store.New(rdb, calm())
	s := slow{storetest.NewRecorder(t), make(chan struct{})}
	follow(t, logs.Log("slow"), s)
	eventually(t, "a resync", func() bool { return s.Resyncs() == 1 })
	quick := recorder(t, logs.Log("quick"))
	body := strings.Repeat("x", 512<<10)
	for i := range 40 {
		post(t, logs.Log("slow"), msg(time.Minute, body, ch(1)))
		post(t, logs.Log("quick"), msg(time.Minute, fmt.Sprint(i), ch(1)))
	}
	eventually(t, "notifications", func() bool { return len(quick.Texts()) == 40 })
	close(s.gate)
	eventually(t, "a resync", func() bool { return s.Resyncs() == 2 })
	last := post(t, logs.Log("slow"), msg(time.Minute, "last", ch(1)))
	eventually(t, "notification", func() bool { _, _, _, newest := s.State(); return newest == last })
	if n := len(s.Texts()); n >= 40 {
		t.Errorf("notified of all %d: nothing was lost, so nothing was tested", n)
	}
	if resyncs, downs, _, _ := quick.State(); resyncs != 1 || downs != 0 {
		t.Errorf("the other one: %d resyncs, %d downs", resyncs, downs)
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
