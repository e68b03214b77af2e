package mirror

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// TestDeadServerIsWaitedFor: what is posted while the other server is down arrives when it is back,
// in order, but not what is too old by then.
func TestDeadServerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		m, o, stop := start(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.URL.RawQuery)
		})
		o.dead.Store(true)
		for _, name := range []string{"a", "b", "c", "d"} {
			m.put(name, madeUp(1))
			time.Sleep(45 * time.Second)
		}
		o.dead.Store(false)
		time.Sleep(10 * time.Second)
		stop()
		if want := "c d"; strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
		if got := m.counts(); got != "sent 2, expired 2" {
			t.Error(got)
		}
	})
}

// TestCopyNeverWaits: whatever the other server does, copying takes no time and bounded memory.
func TestCopyNeverWaits(t *testing.T) {
	for name, c := range map[string]struct {
		dead    bool
		handler http.HandlerFunc
	}{
		"dead": {true, nil},
		"hung": {false, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"slow": {false, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(4 * time.Second):
			case <-r.Context().Done():
			}
		}},
		"fails": {false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, o, stop := start(t, Config{MaxPosts: 100, MaxBytes: 1 << 20}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					c.handler(w, r)
				})
				o.dead.Store(c.dead)
				begin := time.Now()
				body := make([]byte, 64<<10)
				for range 1000 {
					m.Copy(m.Begin(), incoming("x", ""), body, proto.ID{}, []channel.ID{madeUp(1)})
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("copying took %v", took)
				}
				if n, bytes, _ := m.queue.state(); n > 100 || bytes > 1<<20 {
					t.Errorf("%d posts, %d bytes", n, bytes)
				}
				time.Sleep(time.Second)
				m.put("y", madeUp(2))
				stop()
				total := 0.0
				for _, counter := range []prometheus.Counter{m.metrics.sent, m.metrics.refused, m.metrics.uncertain, m.metrics.expired, m.metrics.dropped} {
					total += testutil.ToFloat64(counter)
				}
				if n, _, _ := m.queue.state(); total != 1001 || n != 0 {
					t.Errorf("%v of 1001 are counted, and %d are left: %s", total, n, m.counts())
				}
			})
		})
	}
}

// TestEndEmptiesTheQueue: at the end, what is in the queue is sent, for a while.
func TestEndEmptiesTheQueue(t *testing.T) {
	for _, c := range []struct {
		each time.Duration // to answer a post
		want string
	}{{100 * time.Millisecond, "sent 20"}, {800 * time.Millisecond, "sent 3, uncertain 1, dropped 16"}} {
		synctest.Test(t, func(t *testing.T) {
			m, _, stop := start(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				select {
				case <-time.After(c.each):
				case <-r.Context().Done():
				}
			})
			for n := range 20 {
				m.put(fmt.Sprint(n), madeUp(1))
			}
			begin := time.Now()
			stop()
			if got, took := m.counts(), time.Since(begin); got != c.want || took > 4*time.Second {
				t.Errorf("%s after %v, want %s", got, took, c.want)
			}
		})
	}
}

// TestLogsOfAMirror: trouble is logged once a minute and not for each post, and no line holds the
// password, a channel or a signature.
func TestLogsOfAMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		m, o, stop := start(t, Config{URL: &url.URL{Scheme: "http", Host: "other.example.com", User: url.UserPassword("me", "secret")},
			Logger: slog.New(slog.NewTextHandler(&log, nil)), MaxPosts: 50},
			func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery == "bad" {
					w.WriteHeader(403)
				}
			})
		o.dead.Store(true)
		for range 100 {
			m.put("CHANNEL_ID=private&signature=private", madeUp(1))
		}
		time.Sleep(30 * time.Second)
		o.dead.Store(false)
		time.Sleep(30 * time.Second)
		m.put("bad", madeUp(1))
		m.put("bad", madeUp(1))
		time.Sleep(time.Second)
		stop()
		for _, want := range []string{"does not answer; copies wait or are lost", "connection refused", "the oldest copies are dropped", "answers again", "refuses copies", "status=403"} {
			if n := strings.Count(log.String(), want); n != 1 {
				t.Errorf("%q is there %d times", want, n)
			}
		}
		if text := log.String(); strings.Contains(text, "secret") || strings.Contains(text, "private") || strings.Contains(text, madeUp(1).String()) {
			t.Error(text)
		}
	})
}

// TestAnswerWithAHugeHeader: what the other server answers does not fill the memory.
func TestAnswerWithAHugeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, stop := start(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Filler", strings.Repeat("x", 1<<20))
		})
		m.put("post")
		synctest.Wait()
		stop()
		if got := m.counts(); got != "uncertain 1" {
			t.Error(got)
		}
	})
}
