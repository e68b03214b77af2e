package pubsub_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/store/pubsub"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// A former master may keep the subscription and answer its pings, while all publish elsewhere.
func TestSubscriptionToAnotherServerIsReplaced(t *testing.T) {
	former, present := storetest.StartRedis(t), storetest.StartRedis(t)
	var addr atomic.Value
	addr.Store(former.Addr())
	opt := *open(t, former.URL()).(*redis.Client).Options()
	opt.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr.Load().(string))
	}
	rdb := redis.NewClient(&opt)
	t.Cleanup(func() { rdb.Close() })
	var heard atomic.Int32
	cfg := calm()
	cfg.Canary = 200 * time.Millisecond
	cfg.Heard = func(took time.Duration) {
		if took <= 0 {
			t.Errorf("a probe came back after %v", took)
		}
		heard.Add(1)
	}
	// The subscription is made before the first probe is published.
	r := listen(t, pubsub.New(rdb, cfg), "{a}:notify")
	r.await(t, "subscribed")
	addr.Store(present.Addr())
	if _, err := former.Do("CLIENT", "KILL", "TYPE", "normal"); err != nil {
		t.Fatal(err)
	}
	r.await(t, "subscribed", "lost", "subscribed")
	before := heard.Load()
	testkit.Eventually(t, "probes come back", func() bool { return heard.Load() > before+1 })
	publish(t, open(t, present.URL()), "{a}:notify", "x")
	r.await(t, "subscribed", "lost", "subscribed", "=x")
}

// A panic in the work for the connection costs the connection, not the process.
func TestPanicOverAProbeReconnects(t *testing.T) {
	cfg := calm()
	cfg.Canary = 20 * time.Millisecond
	var panics atomic.Int32
	cfg.Panics = func(string, any, []byte) { panics.Add(1) }
	var heard atomic.Int32
	cfg.Heard = func(time.Duration) {
		if heard.Add(1) == 1 {
			panic("fault")
		}
	}
	r := listen(t, pubsub.New(open(t, storetest.StartRedis(t).URL()), cfg), "{a}:notify")
	r.await(t, "subscribed", "lost", "subscribed")
	testkit.Eventually(t, "another probe", func() bool { return heard.Load() > 1 })
	if panics.Load() != 1 {
		t.Errorf("%d panics", panics.Load())
	}
}
