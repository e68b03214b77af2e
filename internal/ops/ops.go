// Package ops is what every program has around its work: logs, listeners, an admin port, and an
// orderly shutdown.
package ops

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"pushgate/internal/proto"
	"pushgate/internal/version"
)

// NewLogger makes a logger that writes lines to w from level on: as JSON if format is "json", else
// as text.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// NewRegistry makes a registry with the metrics of the process, the Go runtime and the build.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.Get().Collector(),
	)
	return registry
}

// Main runs a program until SIGTERM or SIGINT, and returns its exit code: 0 if run returned nil,
// else 1, with the error logged. The signal ends the context of run, which must return then; a
// second signal ends the process at once.
func Main(logger *slog.Logger, run func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on signals have their default effect again
	if err := run(ctx); err != nil {
		logger.Error("stopped by an error", "error", err)
		return 1
	}
	return 0
}

// CollectAt sets by how many percent the heap may grow before garbage is collected, unless the
// operator has set GOGC. It returns the percentage in effect; -1 is never.
func CollectAt(percent int) int {
	before := debug.SetGCPercent(percent)
	if os.Getenv("GOGC") != "" {
		debug.SetGCPercent(before)
		return before
	}
	return percent
}

// Refuse writes to stderr why a program does not start, and returns the exit code 2.
func Refuse(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 2
}

// Canary returns a function that records in registry how long a canary took through Redis.
func Canary(registry prometheus.Registerer) func(took time.Duration) {
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_canary_seconds",
		Help:    "Time from the publication of a probe, which each process makes every second, to its notification. Nothing is counted while no probe arrives.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3}})
	registry.MustRegister(seconds)
	return func(took time.Duration) { seconds.Observe(took.Seconds()) }
}

// DamagedRecords returns a function to call for each record of the log that cannot be read. It
// counts them in registry and logs them.
func DamagedRecords(registry prometheus.Registerer, logger *slog.Logger) func(id proto.ID, err error) {
	damaged := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_damaged_records_total",
		Help: "Records of the log that could not be read; their messages are lost."})
	registry.MustRegister(damaged)
	return func(id proto.ID, err error) {
		damaged.Inc()
		logger.Error("record not read", "id", id, "error", err)
	}
}
