package store_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

// password of the documented user; in URLs it is escaped.
const password = "p@ss/w:rd"

// aclLine returns the words of the line in docs/operations.md that creates a user for pushgate.
func aclLine(t testing.TB) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "ACL SETUSER pushgate ") {
			return strings.Fields(strings.Replace(line, "PASSWORD", password, 1))
		}
	}
	t.Fatal("docs/operations.md creates no user")
	return nil
}

func userURL(scheme, addr, rest string) string {
	return scheme + "://pushgate:" + url.QueryEscape(password) + "@" + addr + rest
}

// allow creates the documented user on a server.
func allow(t testing.TB, server *storetest.Redis) {
	t.Helper()
	if answer, err := server.Do(aclLine(t)...); answer != "+OK" {
		t.Fatal(answer, err)
	}
}

// The documented line allows what the store does, and nothing else.
func TestACLIsExact(t *testing.T) {
	used := []string{"eval", "evalsha", "hdel", "zmscore", "ping", "select", "subscribe", "unsubscribe", "publish", "ssubscribe", "sunsubscribe",
		"spublish", "cluster|slots", "wait", "scan", "dbsize", "memory|usage", "getrange", "slowlog|get"}
	scripts, err := filepath.Glob("*.lua")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, name := range scripts {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range regexp.MustCompile(`call\('([A-Z]+)'`).FindAllStringSubmatch(string(source), -1) {
			used = append(used, strings.ToLower(call[1]))
		}
	}
	var allowed []string
	for _, word := range aclLine(t) {
		if command, ok := strings.CutPrefix(word, "+"); ok {
			allowed = append(allowed, command)
		}
	}
	slices.Sort(used)
	slices.Sort(allowed)
	if diff := testkit.Diff(slices.Compact(used), allowed); diff != "" {
		t.Error(diff)
	}
	server := storetest.StartRedis(t)
	allow(t, server)
	rdb := open(t, userURL("redis", server.Addr(), ""))
	for _, words := range [][]any{{"GET", "other"}, {"EVAL", "return redis.call('GET', 'other')", "0"}, {"KEYS", "pg:*"}, {"FLUSHALL"},
		{"CONFIG", "GET", "*"}, {"PUBLISH", "other", "x"}, {"ACL", "LIST"}} {
		if err := rdb.Do(t.Context(), words...).Err(); err == nil || errors.Is(err, redis.Nil) {
			t.Errorf("%v: %v", words, err)
		}
	}
}

// The whole suite, as the documented user, with TLS both ways.
func TestTLSAndACL(t *testing.T) {
	certs := storetest.MakeCerts(t)
	server, addr := storetest.StartTLSRedis(t, certs)
	allow(t, server)
	files := "?ca=" + url.QueryEscape(certs.CA) + "&cert=" + url.QueryEscape(certs.Cert) + "&key=" + url.QueryEscape(certs.Key)
	admin := open(t, server.URL())
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		proxy := faulty.Start(t, addr)
		s := store.New(open(t, userURL("rediss", addr, files)), cfg)
		link := store.New(open(t, userURL("rediss", proxy.Addr(), files)), cfg)
		flush := func() {
			if err := admin.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		flush()
		return storetest.Subject{
			Log: cuttable{s.Log("default"), link.Log("default")}, Stats: s, Cut: proxy.Cut, Now: time.Now, Flush: flush,
			Advance: func(d time.Duration) { age(t, admin, d) },
		}
	})
	for name, rest := range map[string]string{
		"an authority that nobody knows": "?cert=" + url.QueryEscape(certs.Cert) + "&key=" + url.QueryEscape(certs.Key),
		"no certificate":                 "?ca=" + url.QueryEscape(certs.CA),
		"another name":                   files + "&server_name=other",
	} {
		l := store.New(open(t, userURL("rediss", addr, rest)), store.Config{}).Log("default")
		if _, err := l.Append(t.Context(), msg(time.Hour, "x", ch(1))); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, rest := range []string{"?ca=/none", "?ca=" + url.QueryEscape(certs.Key), "?cert=/none&key=/none"} {
		if rdb, err := store.Open(userURL("rediss", addr, rest)); err == nil || rdb != nil || strings.Contains(err.Error(), "ss/w") {
			t.Errorf("%s: %v", rest, err)
		}
	}
}

func TestClusterWithACL(t *testing.T) {
	cluster := storetest.StartCluster(t, 3)
	for _, node := range cluster.Nodes {
		allow(t, node)
	}
	addrs := strings.TrimPrefix(cluster.URL(), "redis+cluster://")
	s := store.New(open(t, userURL("redis+cluster", addrs, "")), store.Config{})
	for _, portal := range []string{"a", "b", "c"} {
		r := recorder(t, s.Log(portal))
		post(t, s.Log(portal), msg(time.Hour, portal, ch(1)))
		testkit.Eventually(t, "a notification", func() bool { return len(r.Texts()) == 1 })
	}
}

// A password that is wrong is an error of every call, never a wait.
func TestWrongPassword(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	rdb := open(t, "redis://pushgate:hunter2@"+server.Addr())
	_, err := store.New(rdb, store.Config{}).Log("default").Append(t.Context(), msg(time.Hour, "x", ch(1)))
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
