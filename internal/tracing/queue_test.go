package tracing_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"pushgate/internal/testkit"
	"pushgate/internal/tracing"
)

// exporter calls itself.
type exporter func(ctx context.Context, spans []sdk.ReadOnlySpan) error

func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	return e(ctx, spans)
}

func (exporter) Shutdown(context.Context) error { return nil }

// hanging is an endpoint that does not answer.
func hanging(ctx context.Context, _ []sdk.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

// running runs a tracer of everything over an exporter. The function posts so many times, spread
// over some time so that all are sampled. The tracer runs until end is called, which returns when
// it has ended.
func running(t *testing.T, e exporter) (reg *prometheus.Registry, log *testkit.Buffer, post func(times int), end func()) {
	t.Helper()
	reg, log = prometheus.NewRegistry(), new(testkit.Buffer)
	tracer := tracing.New(tracing.Config{Exporter: e, Service: "s", Process: "p", Version: "v", Ratio: 1, Logger: slog.New(slog.NewTextHandler(log, nil))}, reg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		tracer.Run(ctx)
		close(ended)
	}()
	post = func(times int) {
		for range times {
			time.Sleep(10 * time.Millisecond)
			p := tracer.Begin("/pub")
			p.Sample("default", "")
			p.End(http.StatusOK)
		}
	}
	return reg, log, post, func() {
		cancel()
		<-ended
	}
}

func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	v, _ := testkit.Metric(t, reg, name, label)
	return v
}

// TestHangingEndpoint: an endpoint that does not answer costs posts no time and a bounded number of
// spans their memory. What is dropped is counted, the log has a line now and then, and the end does
// not wait for the endpoint.
func TestHangingEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, log, post, end := running(t, hanging)
		began := time.Now()
		post(6000)
		if took := time.Since(began); took != 6000*10*time.Millisecond {
			t.Errorf("posts took %v", took)
		}
		full, endpoint := metric(t, reg, "pushgate_spans_dropped_total", "full"), metric(t, reg, "pushgate_spans_dropped_total", "endpoint")
		if full != 0 || endpoint < 1000 {
			t.Errorf("dropped: %v full, %v by the endpoint", full, endpoint)
		}
		if lines := strings.Count(log.String(), "sending traces failed"); lines < 1 || lines > 2 {
			t.Errorf("%d lines:\n%s", lines, log)
		}
		began = time.Now()
		end()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the end took %v", took)
		}
		if sum := metric(t, reg, "pushgate_spans_dropped_total", ""); sum != 6000 {
			t.Errorf("%v of 6000 spans are counted as dropped", sum)
		}
	})
}

// TestFullQueue: spans that nobody sends are dropped beyond a bound, at once, and counted.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, reg, send := trace(0)
		began := time.Now()
		for range 3000 {
			tracer.Hear(notified(began), "default", 1)()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		if full := metric(t, reg, "pushgate_spans_dropped_total", "full"); full != 3000-2048 {
			t.Errorf("%v spans are dropped", full)
		}
		if sent := len(send().named("hear")); sent != 2048 || metric(t, reg, "pushgate_spans_sent_total", "") != 2048 {
			t.Errorf("%d spans are sent", sent)
		}
	})
}

// TestEndpointAway: spans that an endpoint refuses are counted, and later ones are sent again.
func TestEndpointAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		reg, log, post, end := running(t, func(context.Context, []sdk.ReadOnlySpan) error { return err })
		defer end()
		err = errors.New("refused")
		post(1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		err = nil
		post(1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if dropped, sent := metric(t, reg, "pushgate_spans_dropped_total", "endpoint"), metric(t, reg, "pushgate_spans_sent_total", ""); dropped != 1 || sent != 1 {
			t.Errorf("%v dropped, %v sent", dropped, sent)
		}
		if !strings.Contains(log.String(), "refused") {
			t.Errorf("logged: %s", log)
		}
	})
}

// TestFlush: what waits at the end is sent, even if a batch was under way.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		reg, _, post, end := running(t, func(_ context.Context, spans []sdk.ReadOnlySpan) error {
			sent += len(spans)
			return nil
		})
		post(5)
		end()
		if sent != 5 || metric(t, reg, "pushgate_spans_sent_total", "") != 5 {
			t.Errorf("%d of 5 spans are sent", sent)
		}
	})
}
