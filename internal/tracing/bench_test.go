package tracing_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/proto"
	"pushgate/internal/tracing"
)

// BenchmarkSpan is one span of a delivery, without sending it.
func BenchmarkSpan(b *testing.B) {
	tracer := tracing.New(tracing.Config{Exporter: new(memory), Service: "s", Process: "p", Version: "v"}, prometheus.NewRegistry())
	ctx, end := context.WithCancel(b.Context())
	defer end()
	go tracer.Run(ctx)
	messages := []*proto.Message{nil}
	b.ReportAllocs()
	for b.Loop() {
		messages[0] = notified(time.Now())
		tracer.Hear(messages[0], "default", 1)()
	}
}
