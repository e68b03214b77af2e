package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/edge"
	"pushgate/internal/portal"
	"pushgate/internal/publisher"
	"pushgate/internal/sign"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// TestSleeper: a subscriber that returns after seconds or a day gets the messages that have not
// expired, in order and once, by either transport. The test advances Redis's clock.
func TestSleeper(t *testing.T) {
	lives := []time.Duration{24 * time.Hour, time.Second, time.Minute, 10 * time.Second, 12 * time.Hour, 10 * time.Minute, time.Hour, 2 * time.Hour}
	for _, slept := range []time.Duration{0, 5 * time.Second, 5 * time.Minute, 90 * time.Minute, 11 * time.Hour, 23 * time.Hour, 25 * time.Hour} {
		for _, transport := range []string{"websocket", "longpoll"} {
			t.Run(fmt.Sprintf("%v/%s", slept, transport), func(t *testing.T) {
				s := newSmallWorld(t)
				id := NewChannel()
				sleeper := s.client(id)

				s.post(t, id, "before", time.Hour)
				sleeper.read(t, transport, 1)
				var want []string
				for _, life := range lives {
					s.post(t, id, life.String(), life)
					if life > slept {
						want = append(want, text(life.String()))
					}
				}
				// Hours pass at once, so no notification must be under way.
				s.awaitNotified(t)
				s.redis.FastForward(slept)

				sleeper.read(t, transport, len(want))
				s.post(t, id, "after", time.Hour)
				sleeper.read(t, transport, 1)

				var got []string
				for _, a := range sleeper.Arrivals() {
					got = append(got, a.Body)
				}
				want = append(append([]string{text("before")}, want...), text("after"))
				if diff := testkit.Diff(want, got); diff != "" {
					t.Errorf("arrived:\n%s", diff)
				}
				if faults, _ := sleeper.Faults(); len(faults) > 0 {
					t.Error(faults)
				}
			})
		}
	}
}

// smallWorld is an edge and a publisher in this process, on a Redis whose clock the test advances.
type smallWorld struct {
	redis           *miniredis.Miniredis
	edge, publisher *httptest.Server
	signer          *sign.Signer
	metrics         *prometheus.Registry // of the edge
	posted          int
}

func newSmallWorld(t *testing.T) *smallWorld {
	t.Helper()
	redis := miniredis.RunT(t)
	rdb, err := store.Open("redis://" + redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	signer, err := sign.New("sha1", []byte(Key))
	if err != nil {
		t.Fatal(err)
	}
	const inTime = 20 * time.Second // this is not about how soon an answer comes
	st := store.New(rdb, store.Config{Timeout: inTime})
	quiet := slog.New(slog.DiscardHandler)
	metrics := prometheus.NewRegistry()
	table, err := portal.NewTable(&portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}})
	if err != nil {
		t.Fatal(err)
	}
	e := edge.New(edge.Config{ID: "edge", PollTimeout: 10 * time.Second, PingInterval: time.Minute, Origins: []string{"*"}}, table,
		func(portal string) edge.Log { return st.Log(portal) }, st, quiet, metrics)
	p := publisher.New(publisher.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: inTime}, table,
		func(portal string) publisher.Log { return st.Log(portal) }, st, quiet, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s := &smallWorld{redis: redis, signer: signer, metrics: metrics, edge: httptest.NewServer(e.Handler()), publisher: httptest.NewServer(p.Handler())}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		s.publisher.Close()
		s.edge.Close()
	})
	for deadline := time.Now().Add(30 * time.Second); e.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(e.Ready())
		}
	}
	return s
}

// awaitNotified waits until the edge has been notified of all posts.
func (s *smallWorld) awaitNotified(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); s.dispatched(t) < s.posted; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the edge was notified of %d of %d messages", s.dispatched(t), s.posted)
		}
	}
}

func (s *smallWorld) dispatched(t *testing.T) int {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "pushgate_dispatched_total" {
			return int(family.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatal("the edge does not count what it is notified of")
	return 0
}

// sleeper is a client that connects only when the test calls read.
type sleeper struct {
	*Client
}

func (s *smallWorld) client(id channel.ID) sleeper {
	return sleeper{&Client{Name: "sleeper", Address: strings.TrimPrefix(s.edge.URL, "http://"), HTTP: s.edge.Client(), Dialect: Text{},
		List: s.signer.Sign(channel.Ref{Private: id}).String(), From: "00000000000000000000000000"}}
}

// read connects, waits for so many more messages, and disconnects.
func (s sleeper) read(t *testing.T, transport string, n int) {
	t.Helper()
	enough := s.Arrived() + n
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if transport == "longpoll" {
		for s.Arrived() < enough {
			if _, err := s.Poll(ctx); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	done, leave := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for s.Arrived() < enough && done.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		leave()
	})
	if err := s.WebSocket(done, nil); ctx.Err() != nil || !errors.Is(err, context.Canceled) && done.Err() == nil {
		t.Fatal(err)
	}
	watching.Wait()
}

func text(s string) string { return `{"text":"` + s + `"}` }

func (s *smallWorld) post(t *testing.T, id channel.ID, body string, life time.Duration) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.publisher.URL+"/bitrix/pub/?CHANNEL_ID="+id.String(), strings.NewReader(text(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Message-Expiry", fmt.Sprint(int(life.Seconds())))
	answer, err := s.publisher.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	s.posted++
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, string(text), err)
	}
}
