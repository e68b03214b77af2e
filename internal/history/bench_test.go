package history_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/history"
	"pushgate/internal/proto"
)

// BenchmarkSample is what a process does every 10 s, without Redis.
func BenchmarkSample(b *testing.B) {
	registry, figures := prometheus.NewRegistry(), history.NewFigures()
	reg := figures.Registerer(registry)
	for i := range 60 {
		reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: fmt.Sprintf("pushgate_other_%d_total", i)}))
	}
	ends := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_session_ends_total"}, []string{"reason"})
	for i := range 40 {
		ends.WithLabelValues(fmt.Sprint(i)).Add(1e5)
	}
	reg.MustRegister(ends)
	for _, name := range []string{"pushgate_publish_to_send_seconds", "pushgate_publish_to_ack_seconds", "pushgate_canary_seconds"} {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18)})
		for i := range 100_000 {
			h.Observe(float64(i) / 1e6)
		}
		reg.MustRegister(h)
	}
	log := newMemory()
	recorder := history.NewRecorder(figures, log, "one", slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	b.ReportAllocs()
	for b.Loop() {
		recorder.Run(ctx) // two samples
	}
	b.ReportMetric(float64(len(log.samples["one"][0].Text)), "bytes")
}

// BenchmarkRead adds up the history of a hundred processes.
func BenchmarkRead(b *testing.B) {
	registry, figures := prometheus.NewRegistry(), history.NewFigures()
	for _, name := range []string{"pushgate_publish_to_send_seconds", "pushgate_publish_to_ack_seconds", "pushgate_canary_seconds"} {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18)})
		h.Observe(1)
		figures.Registerer(registry).MustRegister(h)
	}
	log := newMemory()
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	history.NewRecorder(figures, log, "0", slog.New(slog.DiscardHandler), nil).Run(ctx)
	now, text := time.Now().UnixMilli(), log.samples["0"][0].Text
	for p := range 100 {
		var samples []proto.Sample
		for i := range 360 {
			samples = append(samples, proto.Sample{At: now - int64(360-i)*10_000, Text: text})
		}
		log.samples[fmt.Sprint(p)] = samples
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := history.Read(b.Context(), log, history.Hour, ""); err != nil {
			b.Fatal(err)
		}
	}
}
