package edge

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/edge/front"
	"pushgate/internal/hub"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
	"pushgate/internal/transport"
)

// subscriber is the owner of one connection. It implements [transport.Receiver].
type subscriber struct {
	// Immutable.
	edge   *Edge
	tenant *tenant
	subscription
	calls *calls // of version 5; nil for others

	session *hub.Session // set before anything is delivered
	mark    trail.Session
	kind    transport.Kind
	conn    connection
	counts  counts
	out     atomic.Bool // it was put out, and counted
}

// counts is where a connection is counted while it is there.
type counts struct {
	all    prometheus.Gauge
	tenant *atomic.Int64
}

// newSubscriber returns the owner of a new connection, and joins the tenant of its portal. Either
// [subscriber.serve] or [subscriber.drop] must follow.
func (e *Edge) newSubscriber(ctx context.Context, sub subscription, kind transport.Kind) *subscriber {
	s := &subscriber{edge: e, tenant: e.join(ctx, sub.portal), subscription: sub, kind: kind}
	if sub.reader.Codec.Calls {
		s.calls = new(calls)
	}
	return s
}

// drop ends a subscriber that has no connection.
func (s *subscriber) drop() { s.tenant.part() }

// attach makes the session, whose replay is paced.
func (s *subscriber) attach(wake func()) *hub.Session {
	s.mark = s.edge.config.Trail.Begin(s.tenant.name, s.reader.Channels, s.kind == transport.KindPoll, s.cursor)
	s.session = s.tenant.hub.AttachFor(s, s.reader.Channels, s.cursor, wake)
	s.step(trail.Step{What: trail.StepBegan})
	if s.client != 0 && s.cursor != nil {
		s.session.Meter(replayMeter{s.edge, s.client})
	}
	return s.session
}

// connection is what a transport makes of a subscriber.
type connection interface {
	evictable
	revocable
	// Drop ends a connection that has not been started, after a panic.
	Drop()
}

// serve counts a connection, evicts the oldest ones of the same user beyond the limit, and starts
// it.
func (s *subscriber) serve(conn connection, counts counts, start func()) {
	s.conn, s.counts = conn, counts
	counts.all.Inc()
	counts.tenant.Add(1)
	started := false
	defer func() {
		if !started {
			conn.Drop()
		}
	}()
	s.tenant.users.enter(s.user(), s.portal.Limits.Connections, conn)
	s.tenant.revoked.register(s)
	started = true
	// Before it starts, so that it delivers nothing; after, because a list that was read meanwhile
	// was not applied to it.
	s.check(conn)
	start()
	s.check(conn)
}

// Ended implements [transport.Owner].
func (s *subscriber) Ended(reason *transport.Reason) {
	s.remember(reason)
	s.tenant.users.leave(s.user(), s.conn)
	s.tenant.revoked.unregister(s)
	s.counts.all.Dec()
	s.counts.tenant.Add(-1)
	s.tenant.part()
}

// Over implements [transport.Owner].
func (s *subscriber) Over(now time.Time) *transport.Reason {
	switch {
	case s.tenant.removed.Load():
		return transport.ReasonRemoved
	case !s.expires.IsZero() && now.After(s.expires):
		return transport.ReasonTokenExpired
	default:
		return nil
	}
}

// Messages implements [transport.Owner].
func (s *subscriber) Messages(batch hub.Batch) []*proto.Message {
	if s.tenant.revoked.pending() {
		s.check(s.conn)
	}
	if s.calls != nil {
		s.tenant.published.note(batch.Messages)
	}
	return s.tenant.withNote(&s.reader, batch)
}

func (e *Edge) servePoll(w http.ResponseWriter, r *http.Request, sub subscription) {
	s := e.newSubscriber(r.Context(), sub, transport.KindPoll)
	request := transport.PollRequest{Reader: &s.reader, Cursor: sub.cursor, Timeout: e.config.PollTimeout, Revision: sub.revision}
	if !sub.expires.IsZero() {
		request.Timeout = min(request.Timeout, time.Until(sub.expires))
	}
	poll := transport.NewPoll(e.shared, s, request, s.attach)
	s.serve(poll, counts{e.metrics.polls, &s.tenant.numbers.polls}, func() { poll.Start(front.Hold(w, poll)) })
}

func (e *Edge) serveWebSocket(w http.ResponseWriter, r *http.Request, sub subscription) {
	s := e.newSubscriber(r.Context(), sub, transport.KindWebSocket)
	// The client has its answer before the handshake returns. Whatever is published from then on is
	// for this client, so that its session must be there. It wakes nobody before it is served.
	var wake func()
	session := s.attach(func() { wake() })
	var conn net.Conn
	defer func() {
		if conn == nil { // the handshake has failed, or panicked
			session.Detach()
			s.drop()
		}
	}()
	if conn = handshake(w, r); conn == nil {
		return
	}
	ws := transport.NewWebSocket(e.shared, conn, s, &s.reader, transport.Resumed{}, func(w func()) *hub.Session {
		wake = w
		return session
	})
	s.serve(ws, counts{e.metrics.webSockets, &s.tenant.numbers.webSockets}, ws.Start)
}

// serveStream serves a subscription as server-sent events.
func (e *Edge) serveStream(w http.ResponseWriter, r *http.Request, sub subscription) {
	s := e.newSubscriber(r.Context(), sub, transport.KindStream)
	// If not placed, a zero cursor may stand for a position that is not known yet.
	placed := sub.cursor != nil || s.tenant.hub.Ready() == nil
	h := make(http.Header)
	h.Set("Content-Type", sub.reader.Codec.ContentType)
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-cache")
	h.Set("Connection", "close")
	h.Set("X-Accel-Buffering", "no") // for an nginx that is not configured for streams
	h.Set(transport.AllowOrigin, "*")
	chunked := r.ProtoAtLeast(1, 1)
	if chunked {
		h.Set("Transfer-Encoding", "chunked")
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.drop()
		return
	}
	stream := transport.NewStream(e.shared, conn, s, &s.reader, front.AppendHead(nil, int8(r.ProtoMinor), http.StatusOK, h), chunked, placed, s.attach)
	// The statistics of portals know no third kind.
	s.serve(stream, counts{e.metrics.streams, &s.tenant.numbers.polls}, stream.Start)
}
