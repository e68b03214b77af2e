package server

import (
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/config"
	"pushgate/internal/portal"
)

// shortKeys counts the signature keys that are shorter than they should be, where that is allowed,
// and warns of them.
type shortKeys struct {
	logger *slog.Logger
	count  atomic.Int64
}

func newShortKeys(registry prometheus.Registerer, logger *slog.Logger) *shortKeys {
	k := &shortKeys{logger: logger}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_short_keys",
		Help: "Signature keys of fewer than 16 bytes, which PUSHGATE_ALLOW_SHORT_KEYS accepts: anybody can find them out."}, func() float64 { return float64(k.count.Load()) }))
	return k
}

// SetPortals counts the keys of the portals of a table.
func (k *shortKeys) SetPortals(table *portal.Table) {
	n := table.ShortKeys()
	k.count.Store(int64(n))
	if n > 0 {
		k.logger.Warn("signature keys are too short; anybody can find such a key out by trying", "keys", n, "least_bytes", config.MinKey,
			"remedy", config.ChangeKey)
	}
}
