package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// other is a server in the bubble of a test, reached by pipes.
type other struct {
	conns chan net.Conn
	dead  atomic.Bool // refuses connections
}

func (o *other) Accept() (net.Conn, error) {
	conn, ok := <-o.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (o *other) Close() error   { close(o.conns); return nil }
func (o *other) Addr() net.Addr { return &net.TCPAddr{} }

func (o *other) dial(context.Context, string, string) (net.Conn, error) {
	if o.dead.Load() {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	o.conns <- far
	return near, nil
}

// start runs a mirror and its other server until the returned function is called. It is called in a
// bubble.
func start(t *testing.T, c Config, handler http.HandlerFunc) (m *Mirror, o *other, stop func()) {
	o = &other{conns: make(chan net.Conn, 64)}
	server := &http.Server{Handler: handler}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(o) })
	if c.URL == nil {
		c.URL = &url.URL{Scheme: "http", Host: "other.example.com"}
	}
	m = New(c, prometheus.NewRegistry())
	m.transport.DialContext = o.dial
	ctx, end := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { m.Run(ctx) })
	return m, o, func() {
		end()
		sending.Wait()
		server.Close()
		running.Wait()
	}
}

// incoming returns a post as a publisher receives it.
func incoming(query, body string) *http.Request {
	r := httptest.NewRequest("POST", "/bitrix/pub/?"+query, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:5000"
	return r
}

// put has a post copied, with its query as the name.
func (m *Mirror) put(name string, channels ...channel.ID) {
	m.Copy(m.Begin(), incoming(name, name), []byte(name), proto.ID{}, channels)
}

// counts returns the counters of a mirror as text, without those that are zero.
func (m *Mirror) counts() string {
	var parts []string
	for _, c := range []struct {
		name    string
		counter prometheus.Counter
	}{{"sent", m.metrics.sent}, {"refused", m.metrics.refused}, {"uncertain", m.metrics.uncertain}, {"expired", m.metrics.expired}, {"dropped", m.metrics.dropped}} {
		if n := testutil.ToFloat64(c.counter); n != 0 {
			parts = append(parts, fmt.Sprintf("%s %v", c.name, n))
		}
	}
	return strings.Join(parts, ", ")
}

// TestCopyIsThePost: method, path, query, body and headers arrive as they were, but for what means
// a connection; and the copy says that it is one.
func TestCopyIsThePost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type got struct {
			uri, host, body string
			header          http.Header
		}
		posts := make(chan got, 1)
		m, _, stop := start(t, Config{URL: &url.URL{Scheme: "http", Host: "other.example.com:8895", User: url.UserPassword("me", "secret")}},
			func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				posts <- got{r.RequestURI, r.Host, string(body), r.Header}
			})
		const query, body = "CHANNEL_ID=%30a/b:c.d&x=;%zz&binaryMode=true", "\x00\xff raw \r\n"
		r := incoming(query, body)
		for name, value := range map[string]string{"Message-Expiry": "60", "Content-Type": "application/x-www-form-urlencoded", "Accept-Language": "en",
			"Connection": "close, X-Hop", "X-Hop": "1", "Te": "trailers", "Keep-Alive": "1", "Expect": "100-continue", "Authorization": "Basic other",
			"X-Forwarded-For": "10.0.0.1", "Cookie": "PHPSESSID=a-session-of-a-user"} {
			r.Header.Set(name, value)
		}
		before := fmt.Sprint(r.Header)
		m.Copy(m.Begin(), r, []byte(body), proto.ID{}, nil)
		p := <-posts
		stop()
		if p.uri != "/bitrix/pub/?"+query || p.host != "other.example.com:8895" || p.body != body {
			t.Errorf("%q to %s: %q", p.uri, p.host, p.body)
		}
		key := p.header.Get("Idempotency-Key")
		if len(key) < 20 {
			t.Errorf("key %q", key)
		}
		want := http.Header{"Message-Expiry": {"60"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Accept-Language": {"en"},
			"Authorization": {"Basic bWU6c2VjcmV0"}, "X-Forwarded-For": {"10.0.0.1, 192.0.2.7"}, "Content-Length": {"9"},
			"X-Pushgate-Mirror": {"1"}, "Idempotency-Key": {key}}
		if fmt.Sprint(p.header) != fmt.Sprint(want) {
			t.Errorf("header %v\nwant   %v", p.header, want)
		}
		if fmt.Sprint(r.Header) != before {
			t.Error("the post itself was changed")
		}
	})
}

// TestCopyOfACopyIsNotMade: two servers that mirror each other make no loop.
func TestCopyOfACopyIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, stop := start(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("copied") })
		r := incoming("x", "x")
		r.Header["X-Pushgate-Mirror"] = []string{""}
		m.Copy(m.Begin(), r, []byte("x"), proto.ID{}, nil)
		stop()
		if got := m.counts(); got != "" {
			t.Error(got)
		}
	})
}

// TestOrderOfAChannel: a server that takes some time, and not always the same, gets the posts of a
// channel in order; and those of several channels at the same time.
func TestOrderOfAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const channels, posts = 5, 400
		var mu sync.Mutex
		last := make(map[string]int)
		most, now := 0, 0
		m, _, stop := start(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(rand.N(20 * time.Millisecond))
			mu.Lock()
			defer mu.Unlock()
			now--
			var id string
			var n int
			fmt.Sscanf(r.URL.RawQuery, "%1s-%d", &id, &n)
			if n <= last[id] {
				t.Errorf("channel %s: %d after %d", id, n, last[id])
			}
			last[id] = n
		})
		for n := 1; n <= posts; n++ {
			id := rand.IntN(channels)
			m.put(fmt.Sprintf("%d-%d", id, n), madeUp(id))
		}
		time.Sleep(time.Minute)
		stop()
		if got, want := m.counts(), fmt.Sprint("sent ", posts); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if most < 2 {
			t.Error("never two at the same time")
		}
	})
}

// TestWhatMayHaveBeenPublishedIsNotRepeated: a refusal or a lost answer ends a copy. Another
// attempt follows only where nothing was published, or where the server recognizes the key.
func TestWhatMayHaveBeenPublishedIsNotRepeated(t *testing.T) {
	const hang = -1
	for name, c := range map[string]struct {
		exact    bool
		statuses []int // of the attempts
		want     string
	}{
		"accepted":           {false, []int{200}, "sent 1"},
		"refused":            {false, []int{400}, "refused 1"},
		"broken":             {false, []int{500}, "refused 1"},
		"redirected":         {false, []int{302}, "refused 1"},
		"hangs":              {false, []int{hang}, "uncertain 1"},
		"late":               {false, []int{504}, "uncertain 1"},
		"busy":               {false, []int{429, 503, 502, 200}, "sent 1"},
		"hangs, but exact":   {true, []int{hang, hang, 200}, "sent 1"},
		"late, but exact":    {true, []int{504, 200}, "sent 1"},
		"refused, but exact": {true, []int{500}, "refused 1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempts atomic.Int64
				keys := make(chan string, 10)
				m, _, stop := start(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					keys <- r.Header.Get("Idempotency-Key")
					i := int(attempts.Add(1)) - 1
					if i >= len(c.statuses) {
						t.Error("one more attempt")
						return
					}
					if c.statuses[i] == hang {
						<-r.Context().Done()
						return
					}
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.statuses[i])
				})
				m.exact.Store(c.exact)
				m.put("x", madeUp(1))
				time.Sleep(time.Minute)
				stop()
				if got := m.counts(); got != c.want || int(attempts.Load()) != len(c.statuses) {
					t.Errorf("%s after %d attempts, want %s after %d", got, attempts.Load(), c.want, len(c.statuses))
				}
				for first := <-keys; len(keys) > 0; {
					if key := <-keys; key != first {
						t.Errorf("keys %q and %q of one post", first, key)
					}
				}
			})
		})
	}
}

// TestServerSaysThatItIsExact: an answer of a server that recognizes keys has later copies sent
// again, and one of a server that does not ends that.
func TestServerSaysThatItIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var says atomic.Bool
		m, _, stop := start(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			if says.Load() {
				w.Header().Set("X-Pushgate-Mirror", "1")
			}
		})
		for _, exact := range []bool{true, false} {
			says.Store(exact)
			m.put("x", madeUp(1))
			time.Sleep(time.Second)
			if m.exact.Load() != exact {
				t.Errorf("exact is %v", !exact)
			}
		}
		stop()
	})
}
