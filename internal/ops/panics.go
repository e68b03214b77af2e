package ops

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/contain"
)

// Panics returns what is to be told of panics that were recovered: it counts them with registry, by where they were, and logs
// each with its stack. It may be called several times with the same registry.
func Panics(registry prometheus.Registerer, logger *slog.Logger) contain.Report {
	panics := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_panics_total",
		Help: "Panics that were recovered, by where; each ended one connection or skipped one message. Each is a fault of this program."},
		[]string{"where"})
	if err := registry.Register(panics); err != nil {
		var before prometheus.AlreadyRegisteredError
		if !errors.As(err, &before) {
			panic(err)
		}
		panics = before.ExistingCollector.(*prometheus.CounterVec)
	}
	return func(where string, value any, stack []byte) {
		panics.WithLabelValues(where).Inc()
		logger.Error("panic recovered", "where", where, "panic", panicText(value), "stack", string(stack))
	}
}

// panicText returns the value of a panic as far as it can hold no secret: the runtime's errors and constant texts are shown, of
// all else only the type.
func panicText(value any) string {
	switch value := value.(type) {
	case runtime.Error:
		return value.Error()
	case string:
		return value
	default:
		return fmt.Sprintf("%T", value)
	}
}
