package publisher_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/publisher"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
)

const (
	idA = "00112233445566778899aabbccddeeff"
	idB = "f0e5d42369441879d7e176c96cbbff2d"
)

var (
	_ publisher.Log   = (*store.Log)(nil)
	_ publisher.Stats = (*store.Store)(nil)
)

// service is a publisher on a real log, in a Redis behind a proxy that fails on demand.
type service struct {
	http.Handler
	publisher *publisher.Publisher
	store     *store.Store
	log       *store.Log
	redis     *miniredis.Miniredis
	link      *faulty.Proxy
	registry  *prometheus.Registry
}

// inTime is a time-out for tests that do not measure the time of an answer.
const inTime = 20 * time.Second

// start makes a service. The publisher waits for the log for cfg.Timeout, as the log itself does.
func start(t *testing.T, cfg store.Config) *service {
	t.Helper()
	redis := miniredis.RunT(t)
	link := faulty.Start(t, redis.Addr())
	rdb, err := store.Open("redis://" + link.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	st := store.New(rdb, cfg)
	log := st.Log("default")
	registry := prometheus.NewRegistry()
	table, err := portal.NewTable(&portal.Portal{Signer: testkit.Signer("0123456789abcdef"), Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}})
	if err != nil {
		t.Fatal(err)
	}
	p := publisher.New(publisher.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: cfg.Timeout}, table,
		func(portal string) publisher.Log { return st.Log(portal) }, st, slog.New(slog.DiscardHandler), registry)
	return &service{p.Handler(), p, st, log, redis, link, registry}
}

func (s *service) do(method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5000"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *service) history(t *testing.T, id string) (bodies []string) {
	t.Helper()
	page, err := s.log.History(t.Context(), []channel.ID{testkit.ParseChannel(id)}, proto.ID{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

func TestPostReachesLog(t *testing.T) {
	s := start(t, store.Config{Timeout: inTime})
	for _, c := range []struct{ list, body string }{{idA + "/" + idB, "one"}, {idB, "two"}, {idA + "/" + idA, "three"}} {
		if w := s.do("POST", "/bitrix/pub/?CHANNEL_ID="+c.list, c.body); w.Code != 200 || w.Body.Len() != 0 {
			t.Fatal(w.Code, w.Body)
		}
	}
	if got := strings.Join(s.history(t, idA), " "); got != "one three" {
		t.Error(got)
	}
	if got := strings.Join(s.history(t, idB), " "); got != "one two" {
		t.Error(got)
	}
}

func TestOnlineFromLog(t *testing.T) {
	s := start(t, store.Config{Timeout: inTime})
	id := testkit.ParseChannel(idB)
	if _, _, err := s.log.SetPresence(t.Context(), "edge-1", []proto.Presence{{Channel: id, Sessions: 2}}, true); err != nil {
		t.Fatal(err)
	}
	if w := s.do("GET", "/pub/?CHANNEL_ID="+idA+"/"+idB, ""); w.Body.String() != `{ "infos": [{"channel":"`+idB+`","subscribers":2}]}` {
		t.Error(w.Code, w.Body)
	}
	if err := s.store.PutProcess(t.Context(), proto.Process{ProcessStats: proto.ProcessStats{ID: "edge-1", PID: 7}}); err != nil {
		t.Fatal(err)
	}
	if w := s.do("GET", "/server-stat/", ""); !strings.Contains(w.Body.String(), `"processUniqueId":"edge-1"`) {
		t.Error(w.Code, w.Body)
	}
}

func TestWriteWindowCloses(t *testing.T) {
	s := start(t, store.Config{WriteWindow: time.Hour, Timeout: inTime})
	s.do("POST", "/pub/?CHANNEL_ID="+idA, "first")
	now := time.Now().Add(2 * time.Hour)
	s.redis.SetTime(now)
	s.redis.FastForward(2 * time.Hour)
	if w := s.do("POST", "/pub/?CHANNEL_ID="+idA, "late"); w.Code != 403 || w.Body.String() != proto.ErrChannelsClosed.Text {
		t.Error("all closed:", w.Code, w.Body)
	}
	if w := s.do("POST", "/pub/?CHANNEL_ID="+idA+"/"+idB, "late"); w.Code != 200 {
		t.Error("one open:", w.Code, w.Body)
	}
	if got := strings.Join(s.history(t, idA), " "); got != "first" {
		t.Error(got)
	}
	if got := strings.Join(s.history(t, idB), " "); got != "late" {
		t.Error(got)
	}
	closed := strings.NewReader("# HELP pushgate_closed_receivers_total Channels to which a message was not written because their write window was over.\n" +
		"# TYPE pushgate_closed_receivers_total counter\npushgate_closed_receivers_total 2\n")
	if err := testutil.GatherAndCompare(s.registry, closed, "pushgate_closed_receivers_total"); err != nil {
		t.Error(err)
	}
}

// TestRedisTrouble: whatever fails in Redis, a portal is answered within the second that it waits,
// and the answer never blames the portal.
func TestRedisTrouble(t *testing.T) {
	s := start(t, store.Config{})
	if err := s.publisher.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, trouble := range []struct {
		name       string
		begin, end func()
	}{
		{"stalled", s.link.Stall, s.link.Resume},
		{"gone", func() { s.link.Refuse(true); s.link.Cut() }, func() { s.link.Refuse(false) }},
		{"out of memory", func() { s.redis.SetError("OOM command not allowed when used memory > 'maxmemory'.") }, func() { s.redis.SetError("") }},
	} {
		trouble.begin()
		for _, method := range []string{"POST", "GET"} {
			// A busy machine may be late once. A publisher that waits too long is always late.
			quickest := time.Hour
			for try := 0; try < 3 && quickest > time.Second; try++ {
				began := time.Now()
				w := s.do(method, "/pub/?CHANNEL_ID="+idA, "hello")
				quickest = min(quickest, time.Since(began))
				if w.Code != 503 || w.Header().Get("Retry-After") != "1" {
					t.Errorf("%s, %s: %d %q", trouble.name, method, w.Code, w.Body)
				}
			}
			if quickest > time.Second {
				t.Errorf("%s, %s: answered after %v at best", trouble.name, method, quickest)
			}
		}
		if err := s.publisher.Ready(); err == nil {
			t.Errorf("%s: ready", trouble.name)
		}
		trouble.end()
		testkit.Eventually(t, "it recovers from "+trouble.name, func() bool { return s.do("POST", "/pub/?CHANNEL_ID="+idA, "hello").Code == 200 })
	}
}
