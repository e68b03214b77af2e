package testkit

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	kinds := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kinds"}, []string{"kind"})
	size := prometheus.NewGauge(prometheus.GaugeOpts{Name: "size"})
	registry.MustRegister(kinds, size)
	kinds.WithLabelValues("a").Add(2)
	kinds.WithLabelValues("b").Add(3)
	size.Set(7)
	for _, c := range []struct {
		name, label string
		sum         float64
		found       bool
	}{{"kinds", "", 5, true}, {"kinds", "b", 3, true}, {"kinds", "c", 0, false}, {"size", "", 7, true}, {"size", "a", 0, false}, {"other", "", 0, false}} {
		if sum, found := Metric(t, registry, c.name, c.label); sum != c.sum || found != c.found {
			t.Errorf("%s %q: %v %v, want %v %v", c.name, c.label, sum, found, c.sum, c.found)
		}
	}
}
