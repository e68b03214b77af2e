package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/tracing"
)

// memory is an exporter that keeps what it is given.
type memory struct {
	mu    sync.Mutex
	spans []sdk.ReadOnlySpan
}

func (m *memory) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans = append(m.spans, spans...)
	return nil
}

func (*memory) Shutdown(context.Context) error { return nil }

// named returns the spans of a name.
func (m *memory) named(name string) (some []sdk.ReadOnlySpan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.spans {
		if s.Name() == name {
			some = append(some, s)
		}
	}
	return some
}

// trace returns a tracer, its metrics, and a function that sends all spans and returns them.
func trace(ratio float64) (*tracing.Tracer, *prometheus.Registry, func() *memory) {
	spans, reg := new(memory), prometheus.NewRegistry()
	t := tracing.New(tracing.Config{Exporter: spans, Service: "s", Process: "p", Version: "v", Ratio: ratio}, reg)
	return t, reg, func() *memory {
		over, end := context.WithCancel(context.Background())
		end()
		t.Run(over)
		return spans
	}
}

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// TestSample: the sender's decision counts if there is one, else the ratio.
func TestSample(t *testing.T) {
	for name, c := range map[string]struct {
		parent string
		ratio  float64
		traced bool
	}{
		"sender asks":          {sampled, 0, true},
		"sender declines":      {unsampled, 1, false},
		"nobody asks":          {"", 0, false},
		"by ratio":             {"", 1, true},
		"no trace id":          {"00-00000000000000000000000000000000-b7ad6b7169203331-01", 0, false},
		"no span id":           {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", 0, false},
		"invalid, by ratio":    {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", 1, true},
		"version ff":           {"ff" + sampled[2:], 0, false},
		"more after version 0": {sampled + "-x", 0, false},
	} {
		tracer, _, send := trace(c.ratio)
		post := tracer.Begin("/pub")
		post.Sample("default", c.parent)
		appending := post.Append([]*proto.Message{{}})
		if appending != nil != c.traced {
			t.Errorf("%s: append is traced: %t", name, appending != nil)
		}
		appending.End("")
		post.End(http.StatusOK)
		spans := send().named("POST /pub")
		if len(spans) > 0 != c.traced {
			t.Errorf("%s: %d spans", name, len(spans))
			continue
		}
		if c.traced && c.parent == sampled {
			if s := spans[0]; s.SpanContext().TraceID().String() != sampled[3:35] || s.Parent().SpanID().String() != sampled[36:52] || !s.Parent().IsRemote() {
				t.Errorf("%s: %v, child of %v", name, s.SpanContext(), s.Parent())
			}
		}
	}
}

// valid is the form of a traceparent (W3C Trace Context, 3.2) that asks for a trace. The library
// lets a dash at the end pass.
var valid = regexp.MustCompile(`^\s*(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]-?|(f[0-9a-e]|0[1-9a-f]|[1-9a-e][0-9a-f])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf](-.*)?)\s*$`)

// FuzzTraceparent: a header that is not valid is as none, and never has a post traced.
func FuzzTraceparent(f *testing.F) {
	for _, seed := range []string{sampled, unsampled, "", "00", sampled + "-", "01" + sampled[2:] + "-more", "ff" + sampled[2:], sampled[:35] + sampled[:20]} {
		f.Add(seed)
	}
	tracer, _, _ := trace(0)
	f.Fuzz(func(t *testing.T, parent string) {
		post := tracer.Begin("/pub")
		post.Sample("default", parent)
		if post.Append([]*proto.Message{{}}) != nil && !valid.MatchString(parent) {
			t.Errorf("%q is taken for a sampled traceparent", parent)
		}
	})
}

// TestPostsAreLimited: senders that ask for a trace of every post get some only.
func TestPostsAreLimited(t *testing.T) {
	tracer, reg, send := trace(0)
	for range 300 {
		post := tracer.Begin("/pub")
		post.Sample("default", sampled)
		post.End(http.StatusOK)
	}
	if n := len(send().named("POST /pub")); n < 100 || n > 250 {
		t.Errorf("%d posts are traced, want about 100", n)
	}
	if limited, _ := testkit.Metric(t, reg, "pushgate_traces_limited_total", ""); limited < 50 {
		t.Errorf("%v posts are counted as limited", limited)
	}
}

// TestFailures: an append that fails and a post that is answered with 503 are errors.
func TestFailures(t *testing.T) {
	tracer, _, send := trace(1)
	post := tracer.Begin("/pub")
	post.Sample("default", "")
	post.Append([]*proto.Message{{}}).End("unavailable")
	post.End(http.StatusServiceUnavailable)
	spans := send()
	if s := spans.named("append")[0].Status(); s.Description != "unavailable" {
		t.Errorf("append: %+v", s)
	}
	if s := spans.named("POST /pub")[0].Status(); s.Code == 0 {
		t.Errorf("post: %+v", s)
	}
}

// TestQueueSpan: the span of the queue ends when the log was asked.
func TestQueueSpan(t *testing.T) {
	tracer, _, send := trace(1)
	post := tracer.Begin("/pub")
	post.Sample("default", "")
	m := new(proto.Message)
	appending := post.Append([]*proto.Message{m})
	asked := time.Now().Add(time.Microsecond)
	m.Trace.Sent.Store(asked.UnixNano())
	appending.End("")
	spans := send()
	queue, whole := spans.named("queue")[0], spans.named("append")[0]
	if !queue.EndTime().Equal(asked.Round(0)) || queue.Parent().SpanID() != whole.SpanContext().SpanID() || !queue.StartTime().Equal(whole.StartTime()) {
		t.Errorf("queue %v to %v below %v, append %v from %v", queue.StartTime(), queue.EndTime(), queue.Parent(), whole.SpanContext(), whole.StartTime())
	}
}

// notified returns a traced message as an edge has decoded it.
func notified(received time.Time) *proto.Message {
	return &proto.Message{Trace: &proto.Trace{ID: [16]byte{1}, Span: [8]byte{2}}, Created: received.Add(-time.Second), Received: received}
}

// TestDeliveriesAreBounded: of a message to many sessions, some deliveries become spans, and the
// span of its notification says how many sessions there were.
func TestDeliveriesAreBounded(t *testing.T) {
	tracer, _, send := trace(0)
	m := notified(time.Now())
	end := tracer.Hear(m, "default", 1000)
	end()
	for range 1000 {
		tracer.Written([]*proto.Message{m}, "websocket", nil)
	}
	tracer.Written([]*proto.Message{m}, "websocket", errors.New("broken"))
	spans := send()
	hear, deliveries := spans.named("hear"), spans.named("deliver")
	if len(hear) != 1 || len(deliveries) != 32 {
		t.Fatalf("%d notifications and %d deliveries", len(hear), len(deliveries))
	}
	sessions := int64(0)
	for _, a := range hear[0].Attributes() {
		if a.Key == "pushgate.sessions" {
			sessions = a.Value.AsInt64()
		}
	}
	if sessions != 1000 {
		t.Errorf("the notification tells of %d sessions", sessions)
	}
	if parent := deliveries[0].Parent(); parent.SpanID() != hear[0].SpanContext().SpanID() || parent.TraceID() != m.Trace.ID {
		t.Errorf("a delivery is the child of %v", parent)
	}
	if n := len(spans.named("replay")); n != 0 {
		t.Errorf("%d replays", n)
	}
}

// TestReplaysAreTracesOfTheirOwn: what was not notified of a moment ago is a replay, which has a
// link to the post's trace. Many at a time do not become as many spans.
func TestReplaysAreTracesOfTheirOwn(t *testing.T) {
	tracer, _, send := trace(0)
	old := notified(time.Now().Add(-time.Minute))
	tracer.Hear(old, "default", 0)()
	for _, m := range []*proto.Message{notified(time.Now()), old} {
		tracer.Written([]*proto.Message{m}, "longpoll", nil)
	}
	for range 100 {
		tracer.Written([]*proto.Message{notified(time.Now())}, "longpoll", nil)
	}
	spans := send()
	replays := spans.named("replay")
	if len(replays) < 2 || len(replays) > 60 || len(spans.named("deliver")) > 0 {
		t.Fatalf("%d replays, want about 32; %d deliveries", len(replays), len(spans.named("deliver")))
	}
	for _, s := range replays[:2] {
		if s.Parent().IsValid() || s.SpanContext().TraceID() == [16]byte{1} || len(s.Links()) != 1 || s.Links()[0].SpanContext.TraceID() != [16]byte{1} {
			t.Errorf("%v below %v, links %v", s.SpanContext(), s.Parent(), s.Links())
		}
	}
}
