package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/transport"
)

// metrics has the counters of an edge, except those of its hub. They may be used concurrently.
type metrics struct {
	webSockets, polls prometheus.Gauge
	streams           prometheus.Gauge
	refused, paused   prometheus.Counter
	revoked           prometheus.Counter
	origins           prometheus.Counter
	full              map[string]prometheus.Counter // refused, by what the edge was full of
	commands          map[string]prometheus.Counter // by outcome
	presenceErrors    prometheus.Counter
	acks              prometheus.Counter
	publishToAck      prometheus.Histogram
	replaysPaused     prometheus.Counter
	portalCalls       *portalCalls
}

func newMetrics(reg prometheus.Registerer, e *Edge) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pushgate_connections",
		Help: "Subscribers connected now, by transport."}, []string{"transport"})
	ackLatency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_publish_to_ack_seconds",
		Help:    "Time from a publisher's acceptance of a message to a client's acknowledgement, by the clocks of both machines; for live messages to clients of version 5 over WebSocket.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)})
	commands := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_client_commands_total",
		Help: "Batches of requests, or calls of version 5, that clients sent over WebSocket: done, refused (the client's fault), failed (Redis did not take it), busy (too many at a time)."}, []string{"outcome"})
	full := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_subscribe_turned_away_total",
		Help: "Subscribers answered with 503 or cut off because the edge had no room, by the limit that was reached: PUSHGATE_MAX_CONNECTIONS or PUSHGATE_MAX_MEMORY."}, []string{"full"})
	reg.MustRegister(connections, full, ackLatency, commands)
	m := &metrics{
		webSockets:     connections.WithLabelValues(string(transport.KindWebSocket)),
		polls:          connections.WithLabelValues(string(transport.KindPoll)),
		refused:        counter("subscribe_refused_total", "Subscriptions refused because of what the client brought: its channel ids, its token or its client id."),
		origins:        counter("origins_refused_total", "Subscriptions of pages whose host is not in PUSHGATE_ORIGINS, answered with 403."),
		paused:         counter("subscribe_refusals_paused_total", "Refusals that were delayed, by up to 30 s, because the same client had just been refused."),
		revoked:        counter("revoked_clients_total", "Connections that were closed, and subscribers that were refused, because their token, user or channel was put out."),
		full:           make(map[string]prometheus.Counter),
		commands:       make(map[string]prometheus.Counter),
		presenceErrors: counter("presence_errors_total", "Writes of presence or statistics to Redis that failed; who is online may be wrong until one succeeds."),
		streams:        connections.WithLabelValues(string(transport.KindStream)),
		acks:           counter("acknowledged_total", "Messages that clients of version 5 acknowledged, over WebSocket at an edge, by a request at a publisher."),
		publishToAck:   ackLatency,
		portalCalls:    newPortalCalls(reg),
		replaysPaused:  counter("replays_paused_total", "Pages of history that were delayed because the same client had received them many times."),
	}
	for _, what := range []string{fullConnections, fullMemory} {
		m.full[what] = full.WithLabelValues(what)
	}
	for _, outcome := range []string{commandDone, commandRefused, commandFailed, commandBusy} {
		m.commands[outcome] = commands.WithLabelValues(outcome)
	}
	registerHubs(reg, e)
	registerLimits(reg, &e.ceiling)
	return m
}

// registerLimits shows how full the edge is, of what it may be full of.
func registerLimits(reg prometheus.Registerer, c *ceiling) {
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_" + name, Help: help}, value))
	}
	gauge("connections_limit", "Connections above which the edge refuses subscribers: PUSHGATE_MAX_CONNECTIONS, or what its descriptors allow. 0 is no limit.",
		func() float64 { return float64(c.connections) })
	gauge("memory_limit_bytes", "Memory that the edge may use: PUSHGATE_MAX_MEMORY or GOMEMLIMIT. When three quarters are in use, it refuses subscribers. 0 is no limit.",
		func() float64 { return float64(c.memory) })
	gauge("memory_used_bytes", "Memory of the edge that is in use, as far as that limit counts it: what the last garbage collection left, and the stacks.",
		func() float64 { return float64(c.used()) })
}

// registerHubs shows the hubs' own counters.
func registerHubs(reg prometheus.Registerer, e *Edge) {
	counter := func(name, help string, load func() uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pushgate_" + name, Help: help},
			func() float64 { return float64(load()) }))
	}
	s := &e.hubStats
	counter("dispatched_total", "Messages that the log notified this edge of, whether or not somebody here watches their channels.", s.Dispatched.Load)
	counter("replayed_total", "Messages that sessions had missed and got later, from the log or from memory; one counts for each session.", s.Replayed.Load)
	counter("replays_recalled_total", "Pages of missed messages that came from memory, without a read of the log.", s.Recalled.Load)
	counter("replay_trips_total", "Round trips to Redis for missed messages; one reads for many sessions.", s.Trips.Load)
	counter("resyncs_total", "Subscriptions to the log's notifications; each makes every session read the log once.", s.Resyncs.Load)
	counter("inbox_overflows_total", "Full inboxes of slow readers that were dropped; their messages are read from the log.", s.Overflows.Load)
	counter("gaps_total", "Times that a session may have lost messages, because they were trimmed by a cap or Redis lost them.", s.Gaps.Load)
	counter("gap_notes_total", "Notes of a gap that were sent to sessions; at most one a minute for each.", s.GapsReported.Load)
	counter("replay_errors_total", "Reads of missed messages from Redis that failed and were tried again.", s.ReplayErrors.Load)
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_channels",
		Help: "Channels that have a subscriber at this edge now."}, func() float64 { return float64(e.channels()) }))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_subscribed",
		Help: "1 while the logs of all portals that have subscribers here notify this edge, else 0."}, func() float64 {
		if e.subscribed() != nil {
			return 0
		}
		return 1
	}))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_portals_followed",
		Help: "Portals whose logs this edge follows now, because they have had a subscriber here within the last minute, or are the personal one."}, func() float64 {
		e.mu.Lock()
		defer e.mu.Unlock()
		return float64(len(e.tenants))
	}))
}
