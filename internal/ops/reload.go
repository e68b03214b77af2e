package ops

import (
	"context"
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of reloads, as labels.
const (
	reloadDone   = "done"
	reloadFailed = "failed"
)

// newReloads makes the counter of reloads.
func newReloads() *prometheus.CounterVec {
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_reloads_total",
		Help: "Reloads of the file of portals after a SIGHUP, by outcome; after a failed one the old portals stay in use."}, []string{"outcome"})
	reloads.WithLabelValues(reloadDone)
	reloads.WithLabelValues(reloadFailed)
	return reloads
}

// reload calls Reload at each SIGHUP until ctx ends.
func (s Service) reload(ctx context.Context, hangups <-chan os.Signal, reloads *prometheus.CounterVec) {
	done, failed := reloads.WithLabelValues(reloadDone), reloads.WithLabelValues(reloadFailed)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if s.Reload == nil {
			continue
		}
		if err := s.Reload(); err != nil {
			failed.Inc()
			s.Logger.Error("reload failed; the old settings stay in use", "service", s.Name, "error", err)
			continue
		}
		done.Inc()
		s.Logger.Info("reloaded", "service", s.Name)
	}
}
