package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2/server"

	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// inspect returns what the servers at a URL say of themselves.
func inspect(t testing.TB, url string) []store.Node {
	t.Helper()
	nodes, err := store.New(open(t, url), store.Config{}).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// found returns the names of the risks of a node, each with a problem or without.
func found(n store.Node) string {
	var names []string
	for _, risk := range n.Risks() {
		if risk.Problem != "" {
			risk.Name = strings.ToUpper(risk.Name)
		}
		names = append(names, risk.Name)
	}
	return strings.Join(names, " ")
}

// TestInspect asks a real server, before and after its settings are changed.
func TestInspect(t *testing.T) {
	server := storetest.StartRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--client-output-buffer-limit", "pubsub 64mb 16mb 30")
	nodes := inspect(t, server.URL())
	if len(nodes) != 1 || !strings.Contains(nodes[0].Version, ".") || nodes[0].Memory < 1<<16 || nodes[0].Startup < 1<<16 || nodes[0].CPU <= 0 {
		t.Fatalf("%+v", nodes)
	}
	want := store.Node{Address: server.Addr(), Version: nodes[0].Version, Memory: nodes[0].Memory, Eviction: "allkeys-lru", MaxMemory: 100 << 20, AOF: "off", PubSub: "67108864 16777216 30",
		Peak: nodes[0].Peak, Startup: nodes[0].Startup, Uptime: nodes[0].Uptime, CPU: nodes[0].CPU, Writes: "ok"}
	if diff := testkit.Diff(want, nodes[0]); diff != "" {
		t.Error(diff)
	}
	if got := found(nodes[0]); got != "EVICTION PERSISTENCE version" {
		t.Error(got)
	}
	rdb := open(t, server.URL())
	for name, value := range map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes"} {
		if err := rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(inspect(t, server.URL())[0]); got != "eviction persistence version" {
		t.Error(got)
	}
}

// TestInspectAsTheDocumentedUser: it may not use CONFIG. The store asks for it once, because each
// refusal is a line in the server's log of refusals.
func TestInspectAsTheDocumentedUser(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	s := store.New(open(t, userURL("redis", server.Addr(), "")), store.Config{})
	for range 3 {
		nodes, err := s.Inspect(t.Context())
		if err != nil || nodes[0].PubSub != "" || nodes[0].Eviction != "noeviction" || nodes[0].AOF != "off" ||
			!strings.Contains(nodes[0].String(), "client-output-buffer-limit pubsub unknown") {
			t.Errorf("%v, %v", nodes, err)
		}
	}
	log, err := open(t, server.URL()).Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil || len(log) != 1 || !strings.Contains(fmt.Sprint(log), "count 1 ") {
		t.Errorf("%v, %v", log, err)
	}
}

// TestInspectSentinel looks at the master that the sentinels name, and at the next one after a
// switch.
func TestInspectSentinel(t *testing.T) {
	sentinel := storetest.StartSentinel(t)
	s := store.New(open(t, sentinel.URL()), store.Config{})
	before, err := s.Inspect(t.Context())
	if err != nil || len(before) != 1 || before[0].Replicas != 1 || found(before[0]) != "eviction persistence version" {
		t.Fatalf("%v, %v", before, err)
	}
	sentinel.Switch()
	testkit.Eventually(t, "the other master", func() bool {
		after, err := s.Inspect(t.Context())
		return err == nil && after[0].Address != before[0].Address && strings.HasPrefix(after[0].Address, "master ")
	})
}

// TestInspectCluster looks at every master.
func TestInspectCluster(t *testing.T) {
	cluster := storetest.StartCluster(t, 3)
	if _, err := cluster.Nodes[1].Do("CONFIG", "SET", "maxmemory-policy", "volatile-ttl"); err != nil {
		t.Fatal(err)
	}
	nodes := inspect(t, cluster.URL())
	if len(nodes) != 3 {
		t.Fatalf("%v", nodes)
	}
	for _, n := range nodes {
		want := "eviction PERSISTENCE version"
		if n.Address == cluster.Nodes[1].Addr() {
			want = "EVICTION PERSISTENCE version"
		}
		if got := found(n); got != want || !n.Cluster {
			t.Errorf("%s: %s, want %s", n, got, want)
		}
	}
}

// TestInspectOfWhatDoesNotSay: nothing is known of a server that hides its settings, and nothing is
// claimed.
func TestInspectOfWhatDoesNotSay(t *testing.T) {
	silent, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(silent.Close)
	if err := silent.Register("INFO", func(c *server.Peer, _ string, _ []string) { c.WriteBulk("# Server\r\n") }); err != nil {
		t.Fatal(err)
	}
	n := inspect(t, "redis://"+silent.Addr().String())[0]
	if got := found(n); got != "" || strings.Count(n.String(), "unknown") != 6 {
		t.Errorf("%s: %s", n, got)
	}
}

func TestOldVersions(t *testing.T) {
	for _, c := range []struct {
		version string
		cluster bool
		want    string
	}{
		{"6.0.16", false, "VERSION"}, {"6.2.0", false, "version"}, {"6.2.14", true, "VERSION"}, {"7.0.15", true, "version"},
		{"10.0.1", true, "version"}, {"nonsense", false, ""},
	} {
		if got := found(store.Node{Version: c.version, Cluster: c.cluster, Replicas: -1}); got != c.want {
			t.Errorf("%s: %q, want %q", c.version, got, c.want)
		}
	}
}

// TestEvictionIsReported: a reader cannot tell an evicted message from one that has expired, so
// the risk says that Redis does not only threaten to evict.
func TestEvictionIsReported(t *testing.T) {
	server := storetest.StartRedis(t, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
	problem := func() string { return inspect(t, server.URL())[0].Risks()[0].Problem }
	if got := problem(); strings.Contains(got, "already") || !strings.Contains(got, "allkeys-lru") {
		t.Error(got)
	}
	rdb := open(t, server.URL())
	for i := range 100 {
		if err := rdb.Set(t.Context(), fmt.Sprint(i), strings.Repeat("x", 60_000), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := problem(); !strings.Contains(got, "already") {
		t.Error(got)
	}
}
