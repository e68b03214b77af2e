package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestRedisOfOperators: the servers of Redis with their risks, and what their keys take; however
// many ask, Redis is asked once. What the user of Redis may not do, and that Redis is away, the
// answer says.
func TestRedisOfOperators(t *testing.T) {
	server := storetest.StartRedis(t)
	server.Must("ACL", "SETUSER", "older", "on", ">"+password, "~pg:*", "&pg:*", "-@all", "+eval", "+evalsha", "+info", "+time", "+set")
	server.Must("SET", "pg:{a}:head", "x")
	handler := func(url string) func() redisAnswer {
		rdb, err := store.Open(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rdb.Close() })
		h := redisHandler(store.New(rdb, store.Config{}), slog.New(slog.DiscardHandler))
		return func() (a redisAnswer) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/admin/redis", nil))
			if err := json.NewDecoder(w.Body).Decode(&a); err != nil || w.Code != http.StatusOK {
				t.Errorf("%d, %v", w.Code, err)
			}
			return a
		}
	}
	get := handler(server.URL())
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() {
			a := get()
			if len(a.Nodes) != 1 || a.Nodes[0].Version == "" || a.Nodes[0].Memory <= 0 || a.Nodes[0].Persistence.AOF != "off" || len(a.Nodes[0].Risks) != 1 || a.Trip <= 0 ||
				a.Sample == nil || a.Sample.Keys != 1 || a.Sample.Seen != 1 || !a.Sample.Complete || a.Error != "" {
				t.Errorf("%+v", a)
			}
		})
	}
	asking.Wait()
	rdb, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if stats, err := rdb.Info(t.Context(), "commandstats").Result(); err != nil || !strings.Contains(stats, "cmdstat_scan:calls=1,") {
		t.Errorf("scans: %s, %v", stats, err)
	}
	older := handler("redis://older:" + password + "@" + server.Addr())
	if a := older(); len(a.Nodes) != 1 || !strings.Contains(a.Error, "lacks a permission") || !strings.Contains(a.Error, "SLOWLOG") || !strings.Contains(a.Error, "SCAN") || a.Sample != nil {
		t.Errorf("without permissions: %+v", a)
	}
	away := handler(server.URL())
	server.Stop()
	if a := away(); len(a.Nodes) != 0 || !strings.Contains(a.Error, "does not answer") {
		t.Errorf("without Redis: %+v", a)
	}
}
