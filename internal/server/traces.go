package server

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/config"
	"pushgate/internal/tracing"
	"pushgate/internal/tracing/otlp"
	"pushgate/internal/version"
)

// newTracer returns the tracer of a program; nil if its settings name no endpoint.
func newTracer(cfg config.Common, logger *slog.Logger, registry prometheus.Registerer) *tracing.Tracer {
	if cfg.TracesEndpoint == "" {
		return nil
	}
	headers := make([]otlp.Header, len(cfg.TracesHeaders))
	for i, h := range cfg.TracesHeaders {
		headers[i] = otlp.Header(h)
	}
	return tracing.New(tracing.Config{
		Exporter: otlp.New(string(cfg.TracesEndpoint), headers),
		Service:  cfg.TracesService,
		Process:  cfg.ID,
		Version:  version.Get().Version,
		Ratio:    cfg.TracesRatio,
		Logger:   logger,
	}, registry)
}

// traced returns a function that runs run, and sends its spans until it has returned.
func traced(tracer *tracing.Tracer, run func(context.Context) error) func(context.Context) error {
	if tracer == nil {
		return run
	}
	return func(ctx context.Context) error {
		var sending sync.WaitGroup
		defer sending.Wait()
		spans, end := context.WithCancel(context.WithoutCancel(ctx))
		defer end()
		sending.Go(func() { tracer.Run(spans) })
		return run(ctx)
	}
}
