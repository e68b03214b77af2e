package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"pushgate/internal/channel"
	"pushgate/internal/edge"
	"pushgate/internal/portal"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/world"
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
	*world.World
	redis  *miniredis.Miniredis
	posted int
}

func newSmallWorld(t *testing.T) *smallWorld {
	t.Helper()
	redis := miniredis.RunT(t)
	rdb, err := store.Open("redis://" + redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	// This is not about how soon an answer comes.
	st := store.New(rdb, store.Config{Timeout: 20 * time.Second})
	return &smallWorld{redis: redis, World: world.Start(t, Key, st.Log(portal.Default), st, edge.Config{PollTimeout: 10 * time.Second, PingInterval: time.Minute})}
}

// awaitNotified waits until the edge has been notified of all posts.
func (s *smallWorld) awaitNotified(t *testing.T) {
	t.Helper()
	if !testkit.Wait(func() bool { return s.dispatched(t) >= s.posted }) {
		t.Fatalf("the edge was notified of %d of %d messages", s.dispatched(t), s.posted)
	}
}

func (s *smallWorld) dispatched(t *testing.T) int {
	t.Helper()
	n, found := testkit.Metric(t, s.Metrics, "pushgate_dispatched_total", "")
	if !found {
		t.Fatal("the edge does not count what it is notified of")
	}
	return int(n)
}

// sleeper is a client that connects only when the test calls read.
type sleeper struct {
	*Client
}

func (s *smallWorld) client(id channel.ID) sleeper {
	return sleeper{&Client{Name: "sleeper", Address: strings.TrimPrefix(s.Edge.URL, "http://"), HTTP: s.Edge.Client(), Dialect: Text{},
		List: testkit.Signer(Key).Sign(channel.Ref{Private: id}).String(), From: "00000000000000000000000000"}}
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
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Publisher.URL+"/bitrix/pub/?CHANNEL_ID="+id.String(), strings.NewReader(text(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Message-Expiry", fmt.Sprint(int(life.Seconds())))
	answer, err := s.Publisher.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	s.posted++
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, string(text), err)
	}
}
