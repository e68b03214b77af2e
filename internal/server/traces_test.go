package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/ops"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/collector"
	"pushgate/internal/testkit/storetest"
)

// startTraced runs an edge and a publisher as the programs do, over a real Redis and with traces
// that go to an endpoint. The returned function ends both, with what waits to be sent.
func startTraced(t *testing.T, endpoint string) (w *world, end func()) {
	t.Helper()
	w = &world{t: t, log: new(testkit.Buffer)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("both programs logged:\n%s", w.log)
		}
	})
	environ := []string{"PUSHGATE_KEYS=" + personalKey, "PUSHGATE_REDIS_URL=" + storetest.StartRedis(t).URL(), "PUSHGATE_LISTEN=127.0.0.1:0", "PUSHGATE_DRAIN=0s",
		"PUSHGATE_RECENT_BYTES=0", "PUSHGATE_TRACES_ENDPOINT=" + endpoint, "PUSHGATE_TRACES_RATIO=0"}
	ctx, leave := context.WithCancel(context.Background())
	var running sync.WaitGroup
	end = func() { leave(); running.Wait() }
	t.Cleanup(end)
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	run := func(cfg settings, build func(base) (ops.Service, error)) (p program) {
		p.registry = ops.NewRegistry()
		started := make(chan struct{})
		running.Go(func() {
			err := serve(ctx, cfg, new(slog.LevelVar), logger, p.registry, func(b base) (ops.Service, error) {
				s, err := build(b)
				s.Started = func(addr, admin net.Addr) {
					p.addr, p.admin = addr.String(), admin.String()
					close(started)
				}
				return s, err
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-started
		return p
	}
	edge, err := config.LoadEdge(environ)
	w.must(err)
	w.edge = run(edge, edgeService(edge))
	publisher, err := config.LoadPublisher(environ)
	w.must(err)
	w.publisher = run(publisher, publisherService(publisher))
	testkit.Eventually(t, "ready", func() bool { return strings.Contains(w.get(w.edge.admin, "/readyz"), "ok") })
	return w, end
}

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
	asks     = "00-" + traceID + "-" + parentID + "-01"
	declines = "00-11111111111111111111111111111111-" + parentID + "-00"
)

// TestOneTrace: a post whose sender asks for a trace is one trace, from the sender's span to each
// connection. Others are none: a post whose sender declines, and one of a client, who cannot ask.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	w, end := startTraced(t, c.URL)
	private, public := madeUp(1), madeUp(2)
	list := testkit.Signer(personalKey).Sign(channel.Ref{Private: private, Public: public}).String()
	var conns []*websocket.Conn
	for range 2 {
		conn, err := w.dial("CHANNEL_ID=" + list)
		w.must(err)
		defer conn.CloseNow()
		conns = append(conns, conn)
	}
	w.subscribed(2)
	post := func(path, parent, body string) {
		t.Helper()
		if status, text := w.do("POST", w.publisher.addr, path, body, "Traceparent", parent, "Message-Expiry", "60"); status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	publish := func(parent, body string) {
		t.Helper()
		post("/bitrix/pub/?CHANNEL_ID="+private.String(), parent, body)
		for _, conn := range conns {
			if _, err := w.read(conn); err != nil {
				t.Fatal(err)
			}
		}
	}
	const body = `{"module_id":"im","command":"traced","params":{"text":"what-alice-writes-to-bob"}}`
	publish(asks, body)
	publish(declines, body)
	post("/bitrix/rest/?CHANNEL_ID="+list, asks, batch(public, testkit.Signer(personalKey).SignPublic(public), false, body))
	if published := w.publisher.metric(t, "pushgate_published_total", ""); published != 3 {
		t.Fatalf("%v messages published", published)
	}
	// A client that comes later.
	if status, text := w.do("GET", w.edge.addr, "/bitrix/sub/?mid="+strings.Repeat("0", 26)+"&CHANNEL_ID="+list, ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	for _, conn := range conns {
		conn.CloseNow() // or the edge would wait for them
	}
	end()

	one := func(name string) collector.Span {
		t.Helper()
		spans := c.Spans(name)
		if len(spans) != 1 {
			t.Fatalf("%d spans %s in %+v", len(spans), name, c.Spans(""))
		}
		return spans[0]
	}
	request, appending, queue, hear, replay := one("POST /bitrix/pub"), one("append"), one("queue"), one("hear"), one("replay")
	deliveries := c.Spans("deliver")
	if len(deliveries) != 2 || len(c.Spans("")) != 7 {
		t.Fatalf("%d deliveries in %+v", len(deliveries), c.Spans(""))
	}
	for _, is := range []struct {
		span   collector.Span
		parent string
		kind   int
	}{{request, parentID, 2}, {appending, request.ID, 4}, {queue, appending.ID, 1}, {hear, appending.ID, 5}, {deliveries[0], hear.ID, 1}, {deliveries[1], hear.ID, 1}} {
		if s := is.span; s.Trace != traceID || s.Parent != is.parent || s.Kind != is.kind || s.Status != 0 || s.End.Before(s.Start) || time.Since(s.Start) > time.Minute {
			t.Errorf("%s is not the child of %s: %+v", s.Name, is.parent, s)
		}
	}
	if replay.Trace == traceID || replay.Parent != "" || replay.LinkedTrace != traceID || replay.LinkedID != appending.ID || replay.Attributes["pushgate.transport"] != "longpoll" {
		t.Errorf("replay: %+v", replay)
	}
	has := func(s collector.Span, attributes map[string]any) {
		t.Helper()
		for name, want := range attributes {
			if got := s.Attributes[name]; got != want {
				t.Errorf("%s: %s is %v, want %v", s.Name, name, got, want)
			}
		}
	}
	has(request, map[string]any{"http.response.status_code": 200, "http.route": "/bitrix/pub", "pushgate.portal": "default"})
	has(appending, map[string]any{"pushgate.messages": 1, "pushgate.bytes": len(body), "pushgate.type": "im_traced"})
	has(hear, map[string]any{"pushgate.portal": "default", "pushgate.sessions": 2, "pushgate.type": "im_traced"})
	has(deliveries[0], map[string]any{"pushgate.transport": "websocket", "pushgate.portal": "default"})
	if lag, _ := deliveries[0].Attributes["pushgate.lag"].(float64); lag <= 0 || lag > 60 {
		t.Errorf("lag %v", lag)
	}
	if r := request.Resource; r["service.name"] != "pushgate" || r["service.instance.id"] == "" {
		t.Errorf("resource %v", r)
	}
	hidden := secrets{"a private id": private.String(), "a public id": public.String(), "the key": personalKey, "a message": "what-alice-writes-to-bob"}
	for _, told := range hidden.shown(c.Text()) {
		t.Error(told)
	}
}

// TestHangingCollector: a collector that does not answer delays neither posts nor deliveries nor
// the end, and what it does not take is counted.
func TestHangingCollector(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts what the kernel has accepted
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	w, end := startTraced(t, "http://"+hangs.Addr().String())
	private := madeUp(1)
	list := testkit.Signer(personalKey).Sign(channel.Ref{Private: private, Public: madeUp(2)}).String()
	conn, err := w.dial("CHANNEL_ID=" + list)
	w.must(err)
	defer conn.CloseNow()
	w.subscribed(1)
	// More than fit into a batch, so that the collector hangs meanwhile.
	const posts = 250
	for i := range posts {
		if status, text := w.do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+private.String(), fmt.Sprintf(`{"n":%d}`, i), "Traceparent", asks); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		if _, err := w.read(conn); err != nil {
			t.Fatal(err)
		}
	}
	conn.CloseNow()
	began := time.Now()
	end()
	if took := time.Since(began); took > 15*time.Second { // 2 s, on a machine that is not busy
		t.Errorf("the end took %v", took)
	}
	limited := w.publisher.metric(t, "pushgate_traces_limited_total", "")
	for name, p := range map[string]program{"publisher": w.publisher, "edge": w.edge} {
		if dropped := p.metric(t, "pushgate_spans_dropped_total", ""); dropped < posts-limited {
			t.Errorf("the %s has dropped %v spans", name, dropped)
		}
	}
}
