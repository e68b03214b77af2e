package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// calm is for tests that count how often a link was lost: on a busy machine nothing is late.
func calm() store.Config {
	return store.Config{Timeout: 30 * time.Second, Ping: 10 * time.Second, Silence: time.Minute}
}

// open makes a client that ends with the test. It waits for as long as contexts let it: what a
// script does for thousands takes miniredis seconds on a busy machine.
func open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	mark := "?"
	if strings.Contains(url, mark) {
		mark = "&"
	}
	rdb, err := store.Open(url + mark + "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

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
	testkit.Eventually(t, "a resync", func() bool { return r.Resyncs() == 1 })
	return r
}
