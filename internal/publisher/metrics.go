package publisher

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/intake"
	"pushgate/internal/proto"
)

// refusal is a reason not to serve a request: the answer, and the label of its counter.
type refusal struct {
	label  string
	status int
	text   string
	closes bool // close the connection, on which more of the body may be under way
}

// The refusals.
var (
	forbidden = &refusal{"forbidden", http.StatusForbidden, "", true}
	// A page's request, unsigned.
	crossSite       = &refusal{"cross_site", http.StatusForbidden, proto.ErrRequestSignature.Text, true}
	unknownHost     = &refusal{"unknown_host", http.StatusForbidden, "", true}
	tooLarge        = &refusal{"too_large", http.StatusRequestEntityTooLarge, "", true}
	tooManyUnproven = &refusal{"unproven", http.StatusTooManyRequests, "", true}
	slowUpload      = &refusal{"slow_upload", http.StatusRequestTimeout, "", true}
	brokenUpload    = &refusal{"broken_upload", http.StatusBadRequest, "", true}
	noChannelID     = &refusal{"channel", http.StatusBadRequest, proto.ErrNoChannelID.Text, false}
	badChannelID    = &refusal{"channel", http.StatusBadRequest, proto.ErrChannelID.Text, false}
	noChannels      = &refusal{"channel", http.StatusBadRequest, proto.ErrNoChannels.Text, false}
	tooMany         = &refusal{"channel", http.StatusBadRequest, proto.ErrTooManyChannels.Text, false}
	emptyPost       = &refusal{"empty", http.StatusBadRequest, proto.ErrEmptyPost.Text, false}
	frameMarker     = &refusal{"frame_marker", http.StatusBadRequest, proto.ErrFrameMarker.Text, false}
	closed          = &refusal{"closed", http.StatusForbidden, proto.ErrChannelsClosed.Text, false}
	staleForbidden  = &refusal{"signature_time", http.StatusForbidden, "", true}
	staleRequest    = &refusal{"signature_time", http.StatusBadRequest, proto.ErrRequestSignature.Text, false}
	wrongHost       = &refusal{"host", http.StatusBadRequest, proto.ErrNoClientID.Text, true}
	// Answered as JSON-RPC.
	badCall = &refusal{"call", http.StatusOK, "", false}
	// Answered as a registration.
	notRegistered = &refusal{"registration", http.StatusOK, "", false}
	busy          = &refusal{"busy", http.StatusTooManyRequests, "", false}
	unavailable   = &refusal{"unavailable", http.StatusServiceUnavailable, "", false}
)

// refusalOf maps the errors of an executor to the refusals of a batch.
var refusalOf = map[*proto.Error]*refusal{
	proto.ErrNoPublicID:       ofBatch("no_public_id", proto.ErrNoPublicID),
	proto.ErrRequestData:      ofBatch("bad_data", proto.ErrRequestData),
	proto.ErrNotAllowed:       ofBatch("not_allowed", proto.ErrNotAllowed),
	proto.ErrSystemMessage:    ofBatch("system_message", proto.ErrSystemMessage),
	proto.ErrWrongCommand:     ofBatch("wrong_command", proto.ErrWrongCommand),
	proto.ErrTooManyMessages:  ofBatch("too_many_messages", proto.ErrTooManyMessages),
	proto.ErrNoChannels:       noChannels,
	proto.ErrTooManyChannels:  tooMany,
	proto.ErrInvalidChannel:   ofBatch("invalid_channel", proto.ErrInvalidChannel),
	proto.ErrPrivateChannel:   ofBatch("private_channel", proto.ErrPrivateChannel),
	proto.ErrChannelSignature: ofBatch("channel_signature", proto.ErrChannelSignature),
	proto.ErrRequestSignature: ofBatch("request_signature", proto.ErrRequestSignature),
	proto.ErrNoClientID:       ofBatch("client_id", proto.ErrNoClientID),
	proto.ErrFrameMarker:      frameMarker,
	proto.ErrChannelsClosed:   closed,
}

func ofBatch(label string, err *proto.Error) *refusal {
	return &refusal{label, err.Status(), err.Text, false}
}

// stale returns the refusal with the same answer as r that is counted under the time of a
// signature.
func (r *refusal) stale() *refusal {
	if r == forbidden {
		return staleForbidden
	}
	return staleRequest
}

// metrics are the counters of a publisher. They may be used concurrently.
type metrics struct {
	published  prometheus.Counter
	repeated   prometheus.Counter
	bytes      prometheus.Counter
	closed     prometheus.Counter
	seconds    prometheus.Histogram
	questions  prometheus.Counter
	acks       prometheus.Counter
	registered prometheus.Counter
	refused    map[*refusal]prometheus.Counter // immutable
}

// failure returns the refusal of a post that the log did not append.
func failure(err error) *refusal {
	if errors.Is(err, intake.ErrBusy) {
		return busy
	}
	return unavailable
}

// acknowledgements returns the counter of messages that clients of version 5 on long polls
// acknowledged. Edges have the same one, for WebSockets; a process that is both has it once.
func acknowledgements(reg prometheus.Registerer) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_acknowledged_total",
		Help: "Messages that clients of version 5 acknowledged."})
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
		Help: "Memory, in bytes, of bodies of outsiders' posts whose signature has not been checked."}, func() float64 { return float64(u.held.Load()) }))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_posts",
		Help: "Posts on their way into the log."}, func() float64 { return float64(gates.Posts()) }))
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_publish_refused_total",
		Help: "Portals' requests that were refused, by reason; unavailable means that the log did not take them in time."}, []string{"reason"})
	m := &metrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_published_total",
			Help: "Messages that were accepted and stored."}),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_repeated_total",
			Help: "Messages that were posted again with the same Idempotency-Key and not stored again."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_published_bytes_total",
			Help: "Bytes of the bodies of messages that were accepted and stored."}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_closed_receivers_total",
			Help: "Channels to which a message was not written because their write window was over."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushgate_publish_seconds",
			Help:    "Time that the log took for an accepted message, or until the publisher gave up.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15)}),
		questions: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_online_questions_total",
			Help: "Answered requests of portals for who is online."}),
		acks: acknowledgements(reg),
		registered: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_registrations_total",
			Help: "Registrations that returned a portal's key."}),
		refused: make(map[*refusal]prometheus.Counter),
	}
	reg.MustRegister(m.published, m.repeated, m.bytes, m.closed, m.seconds, m.questions, m.registered, refused)
	for _, r := range []*refusal{forbidden, crossSite, unknownHost, tooLarge, tooManyUnproven, slowUpload, brokenUpload, noChannelID, badChannelID, noChannels, tooMany,
		emptyPost, frameMarker, closed, staleForbidden, staleRequest, wrongHost, badCall, notRegistered, busy, unavailable} {
		m.refused[r] = refused.WithLabelValues(r.label)
	}
	for _, r := range refusalOf {
		m.refused[r] = refused.WithLabelValues(r.label)
	}
	return m
}
