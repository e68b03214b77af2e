// Package tracing makes OpenTelemetry spans of sampled posts: of the request, of the log, and of
// the connections that the messages are written to.
//
// The parts that make spans hold a *Tracer, which is nil if tracing is off, and ask for nothing
// else then. Spans hold no channel ids, no users and no bodies. They have the times of the process
// that made them: between processes, the difference of their clocks shows.
package tracing

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"pushgate/internal/proto"
)

const (
	// maxTraces is how many posts a process samples in a second, whatever senders ask for.
	maxTraces = 100
	// maxDeliveries is how many deliveries of one message a process makes spans of.
	maxDeliveries = 32
	// maxReplays is how many replayed messages a process makes spans of in a second.
	maxReplays = 32
	// liveFor is how long after its notification a message counts as delivered rather than
	// replayed. No write waits longer than that.
	liveFor = 10 * time.Second
)

// Config configures a tracer. All fields but Logger are required.
type Config struct {
	Exporter sdk.SpanExporter // sends spans, several at a time
	Service  string           // name of the installation
	Process  string           // name of the process
	Version  string           // of the program
	Ratio    float64          // part of the posts sampled whose senders leave that open; 0 to 1
	Logger   *slog.Logger     // nil: none
}

// Tracer makes spans. Its methods may be called concurrently, but for Run. They never wait.
type Tracer struct {
	ratio   float64
	tracer  trace.Tracer
	queue   *queue
	posts   *rate.Limiter
	replays *rate.Limiter
	limited prometheus.Counter
}

// New returns a tracer, and registers its metrics with reg. Nothing is sent before Run.
func New(config Config, reg prometheus.Registerer) *Tracer {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tracer{
		ratio:   config.Ratio,
		queue:   newQueue(config.Exporter, config.Logger, reg),
		posts:   rate.NewLimiter(maxTraces, maxTraces),
		replays: rate.NewLimiter(maxReplays, maxReplays),
		limited: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_traces_limited_total",
			Help: "Posts that were to be traced and were not, because there were more than 100 of them in a second."}),
	}
	reg.MustRegister(t.limited)
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // Post.Sample decides
		sdk.WithSpanProcessor(t.queue),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", config.Service),
			attribute.String("service.instance.id", config.Process),
			attribute.String("service.version", config.Version),
		)))
	t.tracer = provider.Tracer("pushgate")
	return t
}

// Run sends spans until ctx ends, and then what is left, for two seconds at most. It must be called
// once.
func (t *Tracer) Run(ctx context.Context) { t.queue.run(ctx) }

// start begins a span at a time.
func (t *Tracer) start(parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time, attributes ...attribute.KeyValue) trace.Span {
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithAttributes(attributes...))
	return span
}

// contextOf returns the span that caused what happens to a message next.
func contextOf(t *proto.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.ID, SpanID: t.Span, TraceFlags: trace.FlagsSampled, Remote: true})
}

// traceOf returns what a message says that a span has caused.
func traceOf(span trace.Span) *proto.Trace {
	sc := span.SpanContext()
	return &proto.Trace{ID: sc.TraceID(), Span: sc.SpanID()}
}
