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

// reload calls Reload at each hangup until ctx ends.
func (s Service) reload(ctx context.Context, hangups <-chan os.Signal) {
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_reloads_total",
		Help: "Readings of the portals after a SIGHUP, by outcome; after one that failed, all is as before."}, []string{"outcome"})
	s.Admin.Registry.MustRegister(reloads)
	defer s.Admin.Registry.Unregister(reloads)
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
			s.Logger.Error("not reloaded; all is as before", "service", s.Name, "error", err)
			continue
		}
		done.Inc()
		s.Logger.Info("reloaded", "service", s.Name)
	}
}
