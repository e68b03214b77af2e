package store_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

// eachMaster does the same on all nodes of a cluster.
func eachMaster(t testing.TB, rdb redis.UniversalClient, do func(ctx context.Context, node *redis.Client) error) {
	t.Helper()
	if err := rdb.(*redis.ClusterClient).ForEachMaster(context.Background(), do); err != nil {
		t.Fatal(err)
	}
}

// proxied makes a client of a cluster that reaches each node by a proxy, whatever address the
// cluster reports.
func proxied(t testing.TB, cluster *storetest.Cluster) (redis.UniversalClient, []*faulty.Proxy) {
	t.Helper()
	ways := make(map[string]string)
	var proxies []*faulty.Proxy
	for _, node := range cluster.Nodes {
		proxy := faulty.Start(t, node.Addr())
		ways[node.Addr()] = proxy.Addr()
		proxies = append(proxies, proxy)
	}
	opt := *open(t, cluster.URL()).(*redis.ClusterClient).Options()
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, ways[addr])
	}
	rdb := redis.NewClusterClient(&opt)
	t.Cleanup(func() { rdb.Close() })
	return rdb, proxies
}

func TestCluster(t *testing.T) {
	cluster := storetest.StartCluster(t, 3)
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		rdb := open(t, cluster.URL())
		link, proxies := proxied(t, cluster)
		s := store.New(rdb, cfg)
		flush := func() {
			eachMaster(t, rdb, func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
		}
		flush()
		return storetest.Subject{
			Log:   cuttable{s.Log("default"), store.New(link, cfg).Log("default")},
			Stats: s,
			Now:   time.Now,
			Flush: flush,
			Advance: func(d time.Duration) {
				eachMaster(t, rdb, func(ctx context.Context, node *redis.Client) error {
					return node.Eval(ctx, ageScript, nil, d.Milliseconds()).Err()
				})
			},
			Cut: func() {
				for _, proxy := range proxies {
					proxy.Cut()
				}
			},
		}
	})
}

func TestPortalsSpreadOverACluster(t *testing.T) {
	const portals = 60
	cluster := storetest.StartCluster(t, 3)
	rdb := open(t, cluster.URL())
	logs := store.New(rdb, store.Config{})
	recorders := make([]*storetest.Recorder, portals)
	for i := range portals {
		recorders[i] = storetest.NewRecorder(t)
		follow(t, logs.Log(fmt.Sprint(i)), recorders[i])
	}
	for i, r := range recorders {
		testkit.Eventually(t, "a resync", func() bool { return r.Resyncs() == 1 })
		post(t, logs.Log(fmt.Sprint(i)), msg(time.Hour, fmt.Sprint(i), ch(1)))
		if got := held(t, logs.Log(fmt.Sprint(i)), ch(1)); !slices.Equal(got, []string{fmt.Sprint(i)}) {
			t.Errorf("portal %d holds %q", i, got)
		}
	}
	for i, r := range recorders {
		testkit.Eventually(t, "a notification", func() bool { return len(r.Texts()) == 1 })
		if got := r.Texts(); got[0] != fmt.Sprint(i) {
			t.Errorf("portal %d got %q", i, got)
		}
	}
	for i, node := range cluster.Nodes {
		size, _ := node.Do("DBSIZE")
		connections, _ := listeners(t, open(t, node.URL()))
		if connections != 1 || size == ":0" {
			t.Errorf("node %d has %d connections that listen, and %s keys", i, connections, size)
		}
	}
}

func TestPortalMovesToAnotherNode(t *testing.T) {
	t.Parallel() // it waits
	cluster := storetest.StartCluster(t, 3)
	rdb := open(t, cluster.URL())
	logs := store.New(rdb, store.Config{})
	moving, staying := logs.Log("a"), logs.Log("b")
	r, other := recorder(t, moving), recorder(t, staying)
	for i, node := range []int{0, 1, 2, 0} {
		cluster.Move("pg:{a}:head", cluster.Nodes[node])
		testkit.Eventually(t, "a follower follows", func() bool {
			// Before the follower has moved, nobody hears a message; it is in the log, which the
			// resync covers.
			receipts, err := moving.Append(t.Context(), msg(time.Second, fmt.Sprint(i), ch(1)))
			if err != nil { // on a busy machine the client may not have found it yet
				return false
			}
			id := receipts[0].ID
			for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if _, _, up, newest := r.State(); up && newest == id && slices.Contains(r.Texts(), fmt.Sprint(i)) {
					return true
				}
			}
			return false
		})
		// A slot moves when it is empty.
		eachMaster(t, rdb, func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
	}
	post(t, staying, msg(time.Minute, "x", ch(1)))
	testkit.Eventually(t, "a notification", func() bool { return len(other.Texts()) == 1 })
	if _, downs, up, _ := other.State(); downs > 0 || !up {
		t.Errorf("a follower that did not move: up %v, %d downs", up, downs)
	}
}

func TestClusterNodeFalls(t *testing.T) {
	t.Parallel() // it waits
	cluster := storetest.StartCluster(t, 3)
	rdb := open(t, cluster.URL())
	const falls = "pg:{default}:head"
	slot, err := rdb.ClusterKeySlot(t.Context(), falls).Result()
	if err != nil {
		t.Fatal(err)
	}
	node := cluster.Nodes[int(slot)*len(cluster.Nodes)/16384]
	cluster.AddReplica(node)
	l := store.New(rdb, store.Config{}).Log("default")
	r := recorder(t, l)
	p := publish(t, l)
	p.again(t, r)
	before := p.newest()
	node.Stop()
	after, took := p.again(t, r)
	p.stop()
	t.Logf("acknowledged again %v after the node fell, %d appends failed", took, p.failed)
	if !after.After(before) {
		t.Errorf("%v after %v", after, before)
	}
	if resyncs, downs, up, _ := r.State(); resyncs < 2 || downs < 1 || !up {
		t.Errorf("%d resyncs, %d downs, up %v", resyncs, downs, up)
	}
}
