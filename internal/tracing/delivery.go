package tracing

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/proto"
)

// heard is what a process keeps of a traced message that it was notified of.
type heard struct {
	portal string
	left   atomic.Int32 // deliveries that may still become spans
}

// Hear begins the span of a traced message that this process was notified of, and that some
// sessions are due. It must be called before anybody else reads m: what happens next belongs to the
// span. The returned function ends it.
func (t *Tracer) Hear(m *proto.Message, portal string, sessions int) (end func()) {
	span := t.start(contextOf(m.Trace), "hear", trace.SpanKindConsumer, m.Received, attribute.String("pushgate.portal", portal), attribute.String("pushgate.type", m.Type),
		attribute.Int("pushgate.bytes", m.Size()), attribute.Int("pushgate.receivers", len(m.Receivers)), attribute.Int("pushgate.sessions", sessions))
	here := &heard{portal: portal}
	here.left.Store(maxDeliveries)
	m.Trace = traceOf(span)
	m.Trace.Heard = here
	return func() { span.End() }
}

// Written makes spans of traced messages that were written to one connection, or could not be. A
// message that was notified a moment ago has been delivered, in the trace of its post; of each,
// only some deliveries become spans. Any other has been replayed, which may be much later: that
// is a trace of its own, with a link to the post's.
func (t *Tracer) Written(messages []*proto.Message, transport string, err error) {
	now := time.Now()
	for _, m := range messages {
		attributes := []attribute.KeyValue{attribute.String("pushgate.transport", transport), attribute.Float64("pushgate.lag", now.Sub(m.Created).Seconds())}
		var span trace.Span
		here, _ := m.Trace.Heard.(*heard)
		switch {
		case here != nil && now.Sub(m.Received) < liveFor:
			if here.left.Add(-1) < 0 {
				continue
			}
			span = t.start(contextOf(m.Trace), "deliver", trace.SpanKindInternal, m.Received, append(attributes, attribute.String("pushgate.portal", here.portal))...)
		case t.replays.Allow():
			span = t.replay(m, attributes)
		default:
			continue
		}
		if err != nil {
			span.SetStatus(codes.Error, "the connection ended")
		}
		span.End(trace.WithTimestamp(now))
	}
}

// replay begins the trace of a message that was replayed.
func (t *Tracer) replay(m *proto.Message, attributes []attribute.KeyValue) trace.Span {
	attributes = append(attributes, attribute.String("pushgate.type", m.Type), attribute.Int("pushgate.bytes", m.Size()))
	_, span := t.tracer.Start(context.Background(), "replay", trace.WithNewRoot(), trace.WithTimestamp(m.Received), trace.WithAttributes(attributes...),
		trace.WithLinks(trace.Link{SpanContext: contextOf(m.Trace)}))
	return span
}
