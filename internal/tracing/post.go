package tracing

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/proto"
)

// Post is a request that may become a trace. It is for one goroutine.
type Post struct {
	tracer *Tracer
	route  string
	began  time.Time
	span   trace.Span // nil unless the post is sampled
}

// Begin returns a post that has come by a route, such as /bitrix/pub. It must be ended.
func (t *Tracer) Begin(route string) *Post {
	return &Post{tracer: t, route: route, began: time.Now()}
}

// Sample decides whether an authorized post to a portal is traced. If parent is a valid
// traceparent (W3C Trace Context), its sender has decided, and the post belongs to the sender's
// trace. Else, as with an empty one, chance decides. Pass the parent of a backend only: anybody
// else could have everything traced.
func (p *Post) Sample(portal, parent string) {
	var sender trace.SpanContext
	if parent != "" {
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
		sender = trace.SpanContextFromContext(ctx)
	}
	sampled := sender.IsSampled()
	if !sender.IsValid() {
		sampled = rand.Float64() < p.tracer.ratio
	}
	if !sampled {
		return
	}
	if !p.tracer.posts.Allow() {
		p.tracer.limited.Inc()
		return
	}
	p.span = p.tracer.start(sender, "POST "+p.route, trace.SpanKindServer, p.began, attribute.String("http.request.method", http.MethodPost),
		attribute.String("http.route", p.route), attribute.String("pushgate.portal", portal))
}

// End ends a post that was answered with a status.
func (p *Post) End(status int) {
	if p.span == nil {
		return
	}
	p.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		p.span.SetStatus(codes.Error, "")
	}
	p.span.End()
}

// postKey is the context key of a post.
type postKey struct{}

// WithPost returns ctx with a post; ctx itself if p is nil.
func WithPost(ctx context.Context, p *Post) context.Context {
	if p == nil {
		return ctx
	}
	return context.WithValue(ctx, postKey{}, p)
}

// PostOf returns the post of a context; nil if it has none.
func PostOf(ctx context.Context) *Post {
	p, _ := ctx.Value(postKey{}).(*Post)
	return p
}

// Append is messages on their way into the log. It is for one goroutine. A nil one belongs to no
// trace.
type Append struct {
	post  *Post
	span  trace.Span
	began time.Time
	trace *proto.Trace
}

// Append begins to append the messages of a post, and notes its trace in them. It returns nil if p
// is nil or not sampled.
func (p *Post) Append(msgs []*proto.Message) *Append {
	if p == nil || p.span == nil || len(msgs) == 0 {
		return nil
	}
	bytes, receivers := 0, 0
	for _, m := range msgs {
		bytes += m.Size()
		receivers += len(m.Receivers)
	}
	a := &Append{post: p, began: time.Now()}
	a.span = p.tracer.start(p.span.SpanContext(), "append", trace.SpanKindProducer, a.began, attribute.Int("pushgate.messages", len(msgs)), attribute.Int("pushgate.bytes", bytes),
		attribute.Int("pushgate.receivers", receivers), attribute.String("pushgate.type", msgs[0].Type))
	a.trace = traceOf(a.span)
	for _, m := range msgs {
		m.Trace = a.trace
	}
	return a
}

// End ends an append, with the reason why it failed, or "". The time in the queue before the log
// was asked becomes a span of its own.
func (a *Append) End(failure string) {
	if a == nil {
		return
	}
	now := time.Now()
	sent := now
	if at := a.trace.Sent.Load(); at != 0 {
		sent = time.Unix(0, at)
	}
	a.post.tracer.start(a.span.SpanContext(), "queue", trace.SpanKindInternal, a.began).End(trace.WithTimestamp(sent))
	if failure != "" {
		a.span.SetStatus(codes.Error, failure)
	}
	a.span.End(trace.WithTimestamp(now))
}
