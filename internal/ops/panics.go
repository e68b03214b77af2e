package ops

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/contain"
)

// Panics returns a function to call for each panic that was recovered. It counts them in registry
// by where they happened, and logs each with its stack. Panics may be called several times with the
// same registry.
func Panics(registry prometheus.Registerer, logger *slog.Logger) contain.Report {
	panics := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_panics_total",
		Help: "Panics that were recovered, by where they happened; each ended one connection or skipped one message. Each is a bug in this program."},
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

// panicText returns the text of a panic's value if it cannot hold a secret, as with errors of the
// runtime and constant texts. Of any other value it returns the type.
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
