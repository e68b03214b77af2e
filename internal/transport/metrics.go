package transport

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/wire"
)

// Kind is how a session is delivered, as a label of metrics.
type Kind string

// The kinds.
const (
	KindWebSocket Kind = "websocket"
	KindPoll      Kind = "longpoll"
	KindStream    Kind = "sse"
)

// Metrics counts what is delivered. It may be used concurrently.
type Metrics struct {
	ends          map[*Reason]prometheus.Counter
	delivered     map[Kind]prometheus.Counter
	sentBytes     prometheus.Counter
	publishToSend prometheus.Histogram
	received      prometheus.Counter
	readsPaused   prometheus.Counter
}

// NewMetrics makes the metrics of a process and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	delivered := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_delivered_total",
		Help: "Messages written to subscribers, by transport; one counts for each subscriber."}, []string{"transport"})
	ends := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_session_ends_total",
		Help: "Connections of subscribers that ended, by reason."}, []string{"reason"})
	m := &Metrics{
		ends:      make(map[*Reason]prometheus.Counter),
		delivered: make(map[Kind]prometheus.Counter),
		sentBytes: counter("sent_bytes_total", "Bytes of frames and answers with messages that were written to subscribers."),
		publishToSend: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_publish_to_send_seconds",
			Help:    "Time from a publisher's acceptance of a message until it is written to a live subscriber, by the clocks of both machines.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18)}),
		received:    counter("received_frames_total", "Data frames that clients sent over WebSocket; what text clients send is counted and ignored."),
		readsPaused: counter("received_frames_paused_total", "Frames before which a client that sends too many was made to wait."),
	}
	reg.MustRegister(delivered, ends, m.publishToSend)
	for _, kind := range []Kind{KindWebSocket, KindPoll, KindStream} {
		m.delivered[kind] = delivered.WithLabelValues(string(kind))
	}
	for _, reason := range reasons() {
		m.ends[reason] = ends.WithLabelValues(reason.Label)
	}
	return m
}

// Ended counts the end of a session, or of a connection that never had one.
func (m *Metrics) Ended(reason *Reason) { m.ends[reason].Inc() }

// sent counts a packet that has been sent, and how long its newest message took.
func (m *Metrics) sent(kind Kind, p wire.Packet, now time.Time) {
	m.delivered[kind].Add(float64(p.Messages))
	m.sentBytes.Add(float64(len(p.Frame)))
	if p.Newest != nil {
		m.publishToSend.Observe(now.Sub(p.Newest.Created).Seconds())
	}
}
