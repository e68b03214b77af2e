package mirror

import "github.com/prometheus/client_golang/prometheus"

// metrics are the counters of a mirror. They may be used concurrently.
type metrics struct {
	sent, refused, uncertain, expired, dropped prometheus.Counter
	lag                                        prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, q *queue) *metrics {
	posts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_mirror_posts_total",
		Help: "Copies of accepted posts for the other server: sent, refused by it, uncertain (no answer: published or not), " +
			"expired (it took none for too long), dropped (the queue was full, or the program ended)."}, []string{"result"})
	m := &metrics{
		sent:      posts.WithLabelValues("sent"),
		refused:   posts.WithLabelValues("refused"),
		uncertain: posts.WithLabelValues("uncertain"),
		expired:   posts.WithLabelValues("expired"),
		dropped:   posts.WithLabelValues("dropped"),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_mirror_seconds",
			Help:    "Time from an accepted post to the other server's answer to its copy.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18)}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(posts, m.lag,
		gauge("pushgate_mirror_queue_posts", "Copies of posts that wait or are under way.", func() float64 {
			n, _, _ := q.state()
			return float64(n)
		}),
		gauge("pushgate_mirror_queue_bytes", "Memory of the copies that wait or are under way.", func() float64 {
			_, bytes, _ := q.state()
			return float64(bytes)
		}),
		gauge("pushgate_mirror_oldest_seconds", "How long the oldest copy in the queue has waited.", func() float64 {
			_, _, oldest := q.state()
			return oldest.Seconds()
		}))
	return m
}
