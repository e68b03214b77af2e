package tracing

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"pushgate/internal/loglimit"
)

const (
	queueSpans = 2048            // most spans that wait to be sent; the rest is dropped
	batchSpans = 512             // most spans that are sent together
	batchTime  = time.Second     // how long a span waits for others
	sendTime   = 5 * time.Second // most time to send a batch
	flushTime  = 2 * time.Second // most time to empty the queue at the end
)

// queue holds spans that have ended until they are sent. It implements [sdk.SpanProcessor]. Unlike
// that of the library it counts what it drops.
type queue struct {
	exporter sdk.SpanExporter
	logger   *slog.Logger
	spans    chan sdk.ReadOnlySpan

	sent                 prometheus.Counter
	full, unsent, late   prometheus.Counter // dropped
	fullLog, exporterLog loglimit.Limiter
}

func newQueue(exporter sdk.SpanExporter, logger *slog.Logger, reg prometheus.Registerer) *queue {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_spans_dropped_total",
		Help: "Spans of traces that were dropped: full is that too many waited, endpoint that it did not take them, end that they were left when the process ended."}, []string{"cause"})
	q := &queue{
		exporter: exporter,
		logger:   logger,
		spans:    make(chan sdk.ReadOnlySpan, queueSpans),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_spans_sent_total",
			Help: "Spans of traces that the endpoint has taken."}),
		full:        dropped.WithLabelValues("full"),
		unsent:      dropped.WithLabelValues("endpoint"),
		late:        dropped.WithLabelValues("end"),
		fullLog:     loglimit.Limiter{Interval: time.Minute},
		exporterLog: loglimit.Limiter{Interval: time.Minute},
	}
	reg.MustRegister(q.sent, dropped)
	return q
}

// OnStart implements [sdk.SpanProcessor].
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements [sdk.SpanProcessor]. It does not wait.
func (q *queue) OnEnd(span sdk.ReadOnlySpan) {
	select {
	case q.spans <- span:
	default:
		q.full.Inc()
		if times, due := q.fullLog.Count(time.Now()); due {
			q.logger.Warn("spans dropped: too many wait for the endpoint of traces", "times", times)
		}
	}
}

// Shutdown implements [sdk.SpanProcessor]; run does it.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush implements [sdk.SpanProcessor]; run does it.
func (q *queue) ForceFlush(context.Context) error { return nil }

// run sends what is queued until ctx ends, and then what is left.
func (q *queue) run(ctx context.Context) {
	for {
		batch := q.collect(ctx)
		if ctx.Err() != nil {
			q.flush(batch)
			return
		}
		sending, cancel := context.WithTimeout(ctx, sendTime)
		left := q.send(sending, batch)
		cancel()
		if ctx.Err() != nil {
			q.flush(left)
			return
		}
		q.drop(left, q.unsent)
	}
}

// collect waits for spans and returns a batch. It returns early, perhaps with none, when ctx ends.
func (q *queue) collect(ctx context.Context) (batch []sdk.ReadOnlySpan) {
	var due <-chan time.Time // nil, and never due, while there is no span
	for len(batch) < batchSpans {
		select {
		case span := <-q.spans:
			batch = append(batch, span)
			if due == nil {
				due = time.After(batchTime)
			}
		case <-due:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// send sends a batch, and returns it if it was not taken.
func (q *queue) send(ctx context.Context, batch []sdk.ReadOnlySpan) (left []sdk.ReadOnlySpan) {
	err := q.exporter.ExportSpans(ctx, batch)
	if err == nil {
		q.sent.Add(float64(len(batch)))
		return nil
	}
	if times, due := q.exporterLog.Count(time.Now()); due {
		q.logger.Warn("sending traces failed", "error", err, "times", times)
	}
	return batch
}

// flush sends a batch and what is queued, as far as time allows.
func (q *queue) flush(batch []sdk.ReadOnlySpan) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	for {
		for len(batch) < batchSpans && len(q.spans) > 0 {
			batch = append(batch, <-q.spans)
		}
		if len(batch) == 0 {
			return
		}
		if ctx.Err() != nil {
			q.drop(batch, q.late)
		} else {
			q.drop(q.send(ctx, batch), q.late)
		}
		batch = nil
	}
}

func (q *queue) drop(batch []sdk.ReadOnlySpan, counter prometheus.Counter) {
	counter.Add(float64(len(batch)))
}
