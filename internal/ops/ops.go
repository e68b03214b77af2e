// Package ops is what every program has around its work: logs, listeners, an admin port, and a life that ends in order.
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

// NewLogger makes a logger that writes lines to w from level on: as JSON if format is "json", else as text.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// NewRegistry makes a registry that already measures the process, the Go runtime and the build.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.Get().Collector(),
	)
	return registry
}

// Main runs a program until SIGTERM or SIGINT, and gives its exit code: 0 if run returned nil, else 1, with the error logged.
// run must return when its context ends; a second signal ends the process at once.
func Main(logger *slog.Logger, run func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // gives the signals back their default effect
	if err := run(ctx); err != nil {
		logger.Error("ended", "error", err)
		return 1
	}
	return 0
}

// CollectAt sets by how many percent the heap may grow before garbage is collected, unless the operator has said so by GOGC. It gives what
// holds now: -1 is never.
func CollectAt(percent int) int {
	before := debug.SetGCPercent(percent)
	if os.Getenv("GOGC") != "" {
		debug.SetGCPercent(before)
		return before
	}
	return percent
}

// Refuse tells on stderr why a program does not start, and gives the exit code 2.
func Refuse(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 2
}

// Canary returns what is to be told of how long a message to oneself took through Redis: it counts with registry.
func Canary(registry prometheus.Registerer) func(took time.Duration) {
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_canary_seconds",
		Help:    "How long messages to oneself took from a command to Redis to its notification. None arrive while the link is down.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3}})
	registry.MustRegister(seconds)
	return func(took time.Duration) { seconds.Observe(took.Seconds()) }
}

// DamagedRecords returns what is to be told of records of the log that cannot be read: it counts them with registry and logs them.
func DamagedRecords(registry prometheus.Registerer, logger *slog.Logger) func(id proto.ID, err error) {
	damaged := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_damaged_records_total",
		Help: "Records of the log that could not be read; their messages are lost."})
	registry.MustRegister(damaged)
	return func(id proto.ID, err error) {
		damaged.Inc()
		logger.Error("record not read", "id", id, "error", err)
	}
}
