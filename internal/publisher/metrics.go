package publisher

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/intake"
)

// metrics are the counters of a publisher. They may be used concurrently.
type metrics struct {
	published  prometheus.Counter
	repeated   prometheus.Counter
	bytes      prometheus.Counter
	closed     prometheus.Counter
	seconds    prometheus.Histogram
	questions  prometheus.Counter
	acks       prometheus.Counter
	hosts      prometheus.Counter
	registered prometheus.Counter
	refused    map[*refusal]prometheus.Counter // immutable
}

// acknowledgements returns the counter of messages that clients of version 5 on long polls
// acknowledged. Edges have the same one, for WebSockets; a process that is both has it once.
func acknowledgements(reg prometheus.Registerer) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_acknowledged_total",
		Help: "Messages that clients of version 5 acknowledged, over WebSocket at an edge, by a request at a publisher."})
	err := reg.Register(c)
	if err == nil {
		return c
	}
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(prometheus.Counter); ok {
			return same
		}
	}
	panic(err) // as MustRegister does
}

func newMetrics(reg prometheus.Registerer, gates *intake.Gates, u *unproven) *metrics {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_unproven_bytes",
		Help: "Memory that bodies of posts take whose senders are in no allowed network and whose signature has not been checked yet."}, func() float64 { return float64(u.held.Load()) }))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_posts",
		Help: "Posts that wait for Redis now."}, func() float64 { return float64(gates.Posts()) }))
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_publish_refused_total",
		Help: "Requests that were refused, by reason. busy is 429, unavailable is 503 because Redis did not take a message in time; all others are the sender's fault."}, []string{"reason"})
	m := &metrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_published_total",
			Help: "Messages that were accepted and are in Redis."}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_repeated_total",
			Help: "Messages that were posted again with the same Idempotency-Key and not stored again."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_published_bytes_total",
			Help: "Bytes of the bodies of messages that were accepted and are in Redis."}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_closed_receivers_total",
			Help: "Channels to which a message was not written because their write window was over."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_publish_seconds",
			Help:    "Time that Redis took for a post, or until the publisher gave up.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15)}),
		questions: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_online_questions_total",
			Help: "Answered requests of portals for who is online."}),
		acks: acknowledgements(reg),
		hosts: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_shared_host_questions_total",
			Help: "Answers to portals in shared mode that asked which server to use."}),
		registered: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_registrations_total",
			Help: "Registrations of portals that were answered with a key."}),
		refused: make(map[*refusal]prometheus.Counter),
	}
	reg.MustRegister(m.published, m.repeated, m.bytes, m.closed, m.seconds, m.questions, m.hosts, m.registered, refused)
	for _, r := range []*refusal{forbidden, crossSite, unknownHost, tooLarge, tooManyUnproven, slowUpload, brokenUpload, noChannelID, badChannelID, noChannels, tooMany,
		emptyPost, frameMarker, closed, revoked, staleForbidden, staleRequest, wrongHost, badCall, notRegistered, busy, unavailable} {
		m.refused[r] = refused.WithLabelValues(r.label)
	}
	for _, r := range refusalOf {
		m.refused[r] = refused.WithLabelValues(r.label)
	}
	return m
}
