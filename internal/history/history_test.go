package history_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/history"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// memory is a Log in memory; time is that of the bubble. It keeps everything.
type memory struct {
	mu      sync.Mutex
	samples map[string][]proto.Sample
	schemas map[string]string
	down    bool
	reads   int
}

var errDown = fmt.Errorf("down")

func newMemory() *memory {
	return &memory{samples: make(map[string][]proto.Sample), schemas: make(map[string]string)}
}

func (m *memory) PutSample(_ context.Context, process, schema string, sample []byte) (time.Time, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return time.Time{}, false, errDown
	}
	m.samples[process] = append(m.samples[process], proto.Sample{At: time.Now().UnixMilli(), Text: string(sample)})
	return time.Now().Add(-3 * time.Second), m.schemas[schema] != "", nil
}

func (m *memory) PutSchema(_ context.Context, name, schema string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schemas[name] = schema
	return nil
}

func (m *memory) Schema(_ context.Context, name string) (string, error) { return m.schemas[name], nil }

func (m *memory) Sampled(context.Context, bool) (processes []string, now time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.down {
		return nil, time.Time{}, errDown
	}
	for process := range m.samples {
		processes = append(processes, process)
	}
	return processes, time.Now(), nil
}

func (m *memory) Samples(_ context.Context, _ bool, processes []string, f func(string, []proto.Sample)) error {
	for _, process := range processes {
		f(process, m.samples[process])
	}
	return nil
}

// process is a process with some metrics, which has a history from its first minute on.
type process struct {
	connections prometheus.Gauge
	published   prometheus.Counter
	ends        *prometheus.CounterVec
	seconds     prometheus.Histogram
	recorder    *history.Recorder
	stop        func()
}

// start starts a process that records until it is stopped.
func start(t *testing.T, log history.Log, id string) *process {
	registry, figures := prometheus.NewRegistry(), history.NewFigures()
	reg := figures.Registerer(registry)
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pushgate_connections"}, []string{"transport"})
	p := &process{
		connections: connections.WithLabelValues("longpoll"),
		published:   prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_published_total"}),
		ends:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_session_ends_total"}, []string{"reason"}),
		seconds:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_publish_to_send_seconds", Buckets: []float64{.01, .02, .04}}),
		recorder:    history.NewRecorder(figures, log, id, slog.New(slog.DiscardHandler), nil),
	}
	reg.MustRegister(connections, p.published, p.ends, p.seconds, prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_other_total"}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.recorder.Run(ctx); close(done) }()
	p.stop = func() { cancel(); <-done }
	synctest.Wait()
	return p
}

func read(t *testing.T, log history.Log, span history.Span, process string) history.View {
	t.Helper()
	v, err := history.Read(t.Context(), log, span, process)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Times) != span.Steps {
		t.Fatalf("%d steps", len(v.Times))
	}
	for name, points := range v.Series {
		if len(points) != span.Steps {
			t.Errorf("%s has %d points", name, len(points))
		}
	}
	return v
}

// last returns the newest n points of a series as words, with one digit behind the point, and "-"
// for what is not known.
func last(v history.View, series string, n int) string {
	points := v.Series[series]
	if points == nil {
		return "none"
	}
	var words []string
	for _, p := range points[len(points)-n:] {
		if math.IsNaN(p) {
			words = append(words, "-")
			continue
		}
		words = append(words, fmt.Sprintf("%.1f", p))
	}
	return strings.Join(words, " ")
}

func check(t *testing.T, v history.View, want map[string]string) {
	t.Helper()
	for series, want := range want {
		if got := last(v, series, len(strings.Fields(want))); got != want {
			t.Errorf("%s: %s, want %s", series, got, want)
		}
	}
}

// TestRatesAndSums: counters become rates, gauges stay, of histograms there are quantiles; and all
// processes together are the sum of each.
func TestRatesAndSums(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		one := start(t, log, "one")
		time.Sleep(3 * time.Second) // samples are not in step with each other
		two := start(t, log, "two")
		two.connections.Set(5)
		for range 60 {
			time.Sleep(time.Second)
			synctest.Wait() // what is sampled at the same time has been
			one.published.Add(2)
			two.published.Add(1)
			one.connections.Inc()
			one.ends.WithLabelValues("slow").Inc()
			for range 99 {
				one.seconds.Observe(.015)
			}
			for range 101 {
				two.seconds.Observe(1)
			}
		}
		synctest.Wait()
		v := read(t, log, history.Hour, "one")
		check(t, v, map[string]string{"published": "- 1.2 2.0 2.0 2.0 2.0", "connections_poll": "- 0.0 6.0 16.0 26.0 36.0 46.0", "ends_slow": "1.0 1.0", "cpu": "0.0",
			"publish_to_send_p50": "15.0", "publish_to_send_p99": "19.9", "other": "none", "started": "none"})
		if v.Series["memory_bytes"][359] < 1<<20 || v.Times[359]%10_000 != 0 || v.Times[359]-v.Times[358] != v.Step || v.Step != 10_000 {
			t.Errorf("memory %v, times %v", v.Series["memory_bytes"][359], v.Times[355:])
		}
		check(t, read(t, log, history.Hour, "two"), map[string]string{"published": "1.0 1.0", "publish_to_send_p50": "40.0"})
		check(t, read(t, log, history.Hour, ""), map[string]string{"published": "3.0 3.0", "connections_poll": "41.0 51.0", "publish_to_send_p50": "40.0", "publish_to_send_p99": "40.0"})
		if none := read(t, log, history.Hour, "none"); len(none.Series) != 0 {
			t.Errorf("a process that does not exist has %v", none.Series)
		}
		if ahead, ok := one.recorder.Clock(); !ok || ahead != 3*time.Second {
			t.Errorf("the clock is %v ahead, %v", ahead, ok)
		}
		one.stop()
		two.stop()
	})
}

// TestRestartsAndHoles: a restart loses nothing and makes no peak; what was not sampled is not
// known, and not zero.
func TestRestartsAndHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		count := func(p *process, seconds int) {
			for range seconds {
				time.Sleep(time.Second / 2) // not when a sample is taken
				p.published.Inc()
				time.Sleep(time.Second / 2)
			}
			synctest.Wait()
		}
		p := start(t, log, "one")
		p.published.Add(1e6) // by the sum of all its life it is far above what comes
		count(p, 60)
		p.stop()
		p = start(t, log, "one")
		count(p, 60)
		v := read(t, log, history.Hour, "")
		check(t, v, map[string]string{"published": "1.0 1.0 1.0 1.0 1.0 1.0 1.0 1.0 1.0"})
		log.down = true
		count(p, 60)
		if _, ok := p.recorder.Clock(); ok {
			t.Error("without Redis it knows the clock of Redis")
		}
		log.down = false
		count(p, 40)
		check(t, read(t, log, history.Hour, ""), map[string]string{"published": "1.0 - - - - - - - 1.0 1.0", "connections_poll": "0.0 0.0 - - - - - 0.0 0.0 0.0"})
		p.stop()
		// It comes back while Redis is away, and has counted more than before when it is sampled.
		log.down = true
		p = start(t, log, "one")
		p.published.Add(1000)
		count(p, 5)
		log.down = false
		count(p, 25)
		check(t, read(t, log, history.Hour, ""), map[string]string{"published": "1.0 101.0 1.0", "publish_to_send_p50": "- - -"})
		p.stop()
		time.Sleep(2 * time.Minute)
		check(t, read(t, log, history.Hour, ""), map[string]string{"published": "- - - - - -", "connections_poll": "- - - - - -"})
	})
}

// TestPartOfAStep: of a step of which less than a half is known, nothing is said.
func TestPartOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after, want := range map[time.Duration]string{3 * time.Second: "- 0.0 0.0 0.0", 7 * time.Second: "- - 0.0 0.0"} {
			log := newMemory()
			time.Sleep(time.Until(time.Now().Truncate(10 * time.Second).Add(10*time.Second + after)))
			p := start(t, log, "one")
			time.Sleep(40 * time.Second)
			synctest.Wait()
			check(t, read(t, log, history.Hour, ""), map[string]string{"published": want})
			p.stop()
		}
	})
}

// TestThinning: the rates of a day, made of one sample in five minutes, are those of the hour.
func TestThinning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		p := start(t, log, "one")
		for range 3600 {
			time.Sleep(time.Second)
			p.published.Add(3)
		}
		synctest.Wait()
		p.stop()
		full := log.samples["one"]
		log.samples["one"] = nil
		for i, sample := range full {
			if i%30 == 0 || i == len(full)-1 {
				log.samples["one"] = append(log.samples["one"], sample)
			}
		}
		v := read(t, log, history.Day, "")
		check(t, v, map[string]string{"published": strings.TrimSpace(strings.Repeat("3.0 ", 11))})
		if n := slices.IndexFunc(v.Series["published"], func(f float64) bool { return f == f }); n != 288-12 {
			t.Errorf("known from step %d on", n)
		}
	})
}

// TestGarbageInTheHistory: what does not decode, is doubled or has a wrong time hides nothing else.
func TestGarbageInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		p := start(t, log, "one")
		for range 60 {
			time.Sleep(time.Second)
			p.published.Inc()
		}
		synctest.Wait()
		p.stop()
		good, now := log.samples["one"], time.Now().UnixMilli()
		want := read(t, log, history.Hour, "")
		text := good[3].Text
		log.schemas["deadbeef"] = strings.Repeat("c x\n", 5000) + "c y"
		log.schemas["00000000"] = "x"
		for _, garbage := range []string{"", "x", text[:8], text[:20], text + "x", "deadbeef\x01", "00000000\x01", "11111111\x01", "../../..\x01", strings.Repeat("\xff", 500)} {
			good = append(good, proto.Sample{At: now - 25_000, Text: garbage}, proto.Sample{At: -1, Text: garbage})
		}
		log.samples["one"] = append(good, good[2], proto.Sample{At: math.MaxInt64, Text: text}, proto.Sample{At: math.MinInt64, Text: text}, proto.Sample{At: 0, Text: text})
		got := read(t, log, history.Hour, "")
		for _, series := range []string{"published", "connections_poll"} {
			if a, b := last(want, series, 360), last(got, series, 360); a != b {
				t.Errorf("%s: %s, want %s", series, b[len(b)-60:], a[len(a)-60:])
			}
		}
	})
}

// TestHandler: the answer is JSON with null for what is not known; wrong questions are refused; a
// thousand who ask cost Redis one read; and without Redis there is an error that says so.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		p := start(t, log, "one")
		for range 30 {
			time.Sleep(time.Second)
			p.published.Add(1.5)
		}
		synctest.Wait()
		handler := history.Handler(log, slog.New(slog.DiscardHandler))
		get := func(query string) (int, string) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/admin/history"+query, nil))
			text, _ := io.ReadAll(w.Result().Body)
			return w.Code, string(text)
		}
		before := log.reads
		for range 1000 {
			get("?span=hour&process=one")
		}
		status, text := get("?span=hour&process=one")
		var v struct {
			Step   int `json:"step_ms"`
			Times  []int64
			Series map[string][]*float64
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || status != 200 || v.Step != 10_000 {
			t.Fatal(status, err, text[:100])
		}
		if points := v.Series["published"]; points[0] != nil || points[359] == nil || *points[359] != 1.5 {
			t.Fatalf("published: %v", points[355:])
		}
		if n := log.reads - before; n != 1 {
			t.Errorf("%d reads", n)
		}
		for query, want := range map[string]int{"": 200, "?span=day": 200, "?span=year": 400, "?process=": 200, "?process=" + strings.Repeat("x", 129): 400} {
			if status, text := get(query); status != want || want != 200 && !strings.Contains(text, `{"error":"`) {
				t.Errorf("%s: %d %.100s", query, status, text)
			}
		}
		busy := 0
		for i := range 100 {
			if status, _ := get(fmt.Sprint("?process=", i)); status == 429 {
				busy++
			}
		}
		if busy < 60 {
			t.Errorf("%d of 100 questions at a time were refused", busy)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		log.down = true
		if status, text := get(""); status != 503 || !strings.Contains(text, "Redis, which does not answer") {
			t.Errorf("without Redis: %d %s", status, text)
		}
		p.stop()
		time.Sleep(10 * time.Second)
	})
}
