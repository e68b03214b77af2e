package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/mirror"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
)

// mirrored returns how many copies a publisher has in its queue, and then, how the others ended.
func mirrored(ctx context.Context, p *Process) (counts map[string]float64, queued float64, err error) {
	if queued, err = p.Metric(ctx, "pushgate_mirror_queue_posts"); err != nil {
		return nil, 0, err
	}
	counts = make(map[string]float64)
	for _, result := range []string{"sent", "refused", "uncertain", "expired", "dropped"} {
		if counts[result], err = p.Metric(ctx, `pushgate_mirror_posts_total{result="`+result+`"}`); err != nil {
			return nil, 0, err
		}
	}
	return counts, queued, nil
}

// post publishes a body at a publisher itself, and returns how long the answer took.
func (w *World) post(ctx context.Context, client *http.Client, p *Process, body string, id channel.ID, header ...string) (time.Duration, error) {
	begin := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Addr+"/bitrix/pub/?CHANNEL_ID="+id.String(), strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return time.Since(begin), err
}

// TestMirrorCostsThePortalNothing posts 20,000 messages to a publisher with a mirror, in turns with
// one that has none, while the other side is killed, slowed, hung, cut off and restarted. No post
// fails, and the slowest in a hundred are about as fast. Every copy is counted.
func TestMirrorCostsThePortalNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	const posts, workers, beyond = 6_000, 8, 20 * time.Millisecond
	const each = 4 * time.Millisecond // of a worker, for two posts: 2,000 pairs a second at most
	b := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	other := b.Publishers[0]
	link, err := faulty.New(other.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	a := Start(t, Options{Bin: bin, Edges: 1, Publishers: 2})
	with, without := a.Publishers[0], a.Publishers[1]
	if err := with.Stop(); err != nil {
		t.Fatal(err)
	}
	with.Setenv("PUSHGATE_MIRROR_URL=http://" + link.Addr())
	if err := with.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()

	var done atomic.Int64
	reach := func(n int64) bool { // waits for so many posts
		return testkit.Wait(func() bool { return done.Load() >= n || t.Failed() }) && !t.Failed()
	}
	var faults sync.WaitGroup
	faults.Go(func() {
		for _, f := range []struct {
			at   int64 // fortieths of all posts
			what string
			do   func() error
		}{
			{4, "killed", func() error { other.Kill(); return nil }},
			{10, "started", func() error { return other.Start(t.Context()) }},
			{14, "slow", func() error { link.Delay(300 * time.Millisecond); return nil }},
			{19, "fast", func() error { link.Delay(0); return nil }},
			{22, "hung", func() error { link.Stall(); return nil }},
			{27, "goes on", func() error { link.Resume(); return nil }},
			{30, "cut off", func() error { link.Refuse(true); link.Cut(); return nil }},
			{33, "reachable", func() error { link.Refuse(false); return nil }},
			{35, "restarted", func() error {
				if err := other.Stop(); err != nil {
					return err
				}
				return other.Start(t.Context())
			}},
		} {
			at := f.at * posts / 40
			if !reach(at) {
				return
			}
			if err := f.do(); err != nil {
				t.Error(err)
				return
			}
			_, queued, err := mirrored(t.Context(), with)
			t.Logf("after %d posts: %s; %v copies in the queue, %v", at, f.what, queued, err)
			if queued > 10_000 {
				t.Errorf("%v copies in the queue", queued)
			}
		}
	})

	var mu sync.Mutex
	took := map[*Process][]time.Duration{}
	var posting sync.WaitGroup
	for n := range workers {
		posting.Go(func() {
			id := NewChannel()
			pace := time.NewTicker(each)
			defer pace.Stop()
			for i := range posts / workers {
				<-pace.C
				turn := []*Process{with, without}
				if i%2 == 1 {
					slices.Reverse(turn)
				}
				for _, p := range turn {
					d, err := a.post(t.Context(), client, p, fmt.Sprintf(`{"module_id":"im","command":"message","params":{"n":"%d-%d"}}`, n, i), id)
					if err != nil {
						t.Errorf("post to %s: %v", p.Name, err)
						return
					}
					mu.Lock()
					took[p] = append(took[p], d)
					mu.Unlock()
				}
				done.Add(1)
			}
		})
	}
	posting.Wait()
	faults.Wait()
	if t.Failed() {
		return
	}
	at := func(p *Process, share float64) time.Duration { return took[p][int(share*float64(len(took[p])-1))] }
	for _, p := range []*Process{with, without} {
		slices.Sort(took[p])
		t.Logf("%s: %d posts, p50 %v, p99 %v, longest %v, peak memory %d MB", p.Name, len(took[p]), at(p, .5), at(p, .99), at(p, 1), p.Peak()>>20)
	}
	if at(with, .99) > at(without, .99)+beyond {
		t.Errorf("p99 is %v with a mirror, %v without", at(with, .99), at(without, .99))
	}
	var counts map[string]float64
	testkit.Eventually(t, "no copy is left in the queue", func() bool {
		var queued float64
		counts, queued, err = mirrored(t.Context(), with)
		return err == nil && queued == 0
	})
	total := 0.0
	for _, n := range counts {
		total += n
	}
	t.Logf("copies: %v", counts)
	if total != posts || counts["sent"] < posts/4 {
		t.Errorf("%v of %d copies are counted: %v", total, posts, counts)
	}
}

// mirroredWorlds runs two worlds, the second of which gets the posts of the first.
func mirroredWorlds(t *testing.T) (a, b *World) {
	t.Helper()
	b = Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	a = Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, Env: []string{"PUSHGATE_MIRROR_URL=http://" + b.Publishers[0].Addr}})
	return a, b
}

// TestMirrorSendsTheSame posts in every dialect, from several senders at once, to a server that is
// mirrored: the comparer finds the same at both, byte for byte and in order, over each transport.
func TestMirrorSendsTheSame(t *testing.T) {
	a, b := mirroredWorlds(t)
	ids := []channel.ID{NewChannel(), NewChannel(), NewChannel(), NewChannel()}
	for _, poll := range []bool{false, true} {
		c := startComparison(t, a, b, poll, ids...)
		const rounds = 100
		p := a.Portals[0]
		var posting sync.WaitGroup
		for n := range 4 {
			posting.Go(func() {
				for i := range rounds {
					body := fmt.Sprintf(`{"module_id":"im","command":"message","params":{"n":"%d-%d","text":"Привет \u2028 <&>'"}}`, n, i)
					var err error
					switch i % 3 {
					case 0:
						// Ids that other senders use, too.
						_, err = p.Post(t.Context(), body, true, ids[n], ids[(n+1)%4])
					case 1:
						err = p.PostBinary(t.Context(), false, Letter{Body: body, Channels: ids[n : n+1]}, Letter{Body: body + " ", Channels: ids[:1]})
					default:
						err = p.PostRPC(t.Context(), false, Letter{Body: body, Channels: ids[n : n+1]})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		posting.Wait()
		c.endSame(t, 4*(34*2+33*2+33))
	}
}

// TestProxyMirrors: posts that go through the proxy arrive at both servers, and the comparer finds
// no difference. While the primary is down, the portal sees that; while the mirror is, it does not.
func TestProxyMirrors(t *testing.T) {
	a, b := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1}), Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	ctx, stop := context.WithCancel(t.Context())
	started, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- mirror.Run(ctx, mirror.Options{Listen: "127.0.0.1:0", Primary: &url.URL{Scheme: "http", Host: a.Publishers[0].Addr},
			Mirror: &url.URL{Scheme: "http", Host: b.Publishers[0].Addr}, Started: func(addr net.Addr) { started <- addr }})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	proxy := &Process{Name: "proxy", Addr: (<-started).String()}
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	id := NewChannel()
	c := startComparison(t, a, b, false, id)
	post := func(n int) error {
		_, err := a.post(t.Context(), client, proxy, fmt.Sprintf(`{"n":%d}`, n), id)
		return err
	}
	for n := range 300 {
		if n == 100 {
			b.Publishers[0].Kill()
		}
		if n == 200 {
			if err := b.Publishers[0].Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := post(n); err != nil {
			t.Error(err)
		}
	}
	c.endSame(t, 300)
	a.Publishers[0].Kill()
	if err := post(300); err == nil {
		t.Error("a post without a primary was answered")
	}
	if err := a.Publishers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := post(301); err != nil {
		t.Error(err)
	}
}
