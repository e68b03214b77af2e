package edge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"pushgate/internal/hub"
	"pushgate/internal/proto"
)

// streamConn is one stream of server-sent events: its request's goroutine, which alone writes, and rests between events.
type streamConn struct {
	end    context.CancelCauseFunc
	beat   chan struct{} // of capacity 1: a comment is due
	tenant *tenant
	sub    *subscription
	pings  int // turns from one comment to the next
	visits int // since the last comment; owned by the wheel
}

func (s *streamConn) visit(now time.Time) {
	if reason := s.tenant.over(s.sub, now); reason != nil {
		s.end(reason)
		return
	}
	if s.visits++; s.visits < s.pings {
		return
	}
	s.visits = 0
	select {
	case s.beat <- struct{}{}:
	default:
	}
}

func (s *streamConn) leave()    { s.end(ReasonLeaving) }
func (s *streamConn) cut()      { s.end(ReasonLeaving) }
func (s *streamConn) makeRoom() { s.end(ReasonTooMany) }

// stream serves a subscription as server-sent events. A browser says in a header where it was when it comes back by itself; mid is for the first
// time, and for readers that are no browsers.
func (e *Edge) stream(w http.ResponseWriter, r *http.Request) {
	sub, refusal := e.parse(r)
	if refusal != nil {
		e.refusePoll(w, refusal)
		return
	}
	sub.codec = jsonCodec
	if id, err := proto.ParseID(r.Header.Get("Last-Event-ID")); err == nil {
		sub.cursor = &id
	}
	e.serveStream(w, r, sub)
}

func (e *Edge) serveStream(w http.ResponseWriter, r *http.Request, sub subscription) {
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	wake := make(chan struct{}, 1)
	t := e.join(ctx, sub.portal)
	defer t.part()
	placed := sub.cursor != nil || t.hub.Ready() == nil // else the zero cursor may be a place that is not known yet
	session := t.attach(&sub, func() { wake <- struct{}{} })
	defer session.Detach()
	s := &streamConn{end: end, tenant: t, beat: make(chan struct{}, 1), sub: &sub, pings: e.wheel.pings}
	slot := e.wheel.add(s)
	defer e.wheel.remove(s, slot)
	t.crowds.enter(sub.owner(), sub.portal.Limits.Connections, s)
	defer t.crowds.leave(sub.owner(), s)
	e.metrics.streams.Inc()
	defer e.metrics.streams.Dec()
	t.numbers.polls.Add(1) // in the statistics of portals, which know no third kind
	defer t.numbers.polls.Add(-1)

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // for an nginx whose configuration does not know of streams
	h.Set(allowOrigin, "*")
	err := t.writeEvents(ctx, w, &sub, session, streamHead(session.Cursor(), placed), wake, s.beat)
	reason := ReasonClientClosed
	if err != nil {
		reason = ReasonLost
	}
	errors.As(context.Cause(ctx), &reason)
	e.metrics.ends[reason].Inc()
}

// writeEvents writes a head and what the session gives until ctx ends, and returns why it could not write.
func (t *tenant) writeEvents(ctx context.Context, w http.ResponseWriter, sub *subscription, session *hub.Session, head []byte, wake, beat <-chan struct{}) error {
	control := http.NewResponseController(w)
	// An error means that w has no connection, in tests.
	extend := func() { _ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) }
	defer extend() // for the end, which net/http has to write
	send := func(text []byte) error {
		extend()
		if _, err := w.Write(text); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := send(head); err != nil {
		return err
	}
	for ctx.Err() == nil {
		batch := session.Next()
		if messages := t.withNote(sub, batch); len(messages) > 0 {
			var out packet
			for _, m := range messages {
				out.count(m)
				out.frame = m.AppendSSE(out.frame, m.Via(sub.channels))
			}
			if err := send(out.frame); err != nil {
				return err
			}
			t.edge.metrics.sent(stream, out)
			continue
		}
		if batch.Nudged {
			continue
		}
		// The session rests, and is not to be asked again before it has called.
		for woken := false; !woken; {
			select {
			case <-wake:
				woken = true
			case <-beat:
				if err := send([]byte(":\n\n")); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// streamHead says how long to wait before coming back, which is not the same for all, and where the stream begins: an id without data is no event,
// but a browser that loses the connection before the first one comes back with it, and misses nothing. A log that never had a message begins
// at the zero id, after which is everything; a stream that is not placed has no id to tell.
func streamHead(cursor proto.ID, placed bool) []byte {
	head := fmt.Appendf(nil, "retry: %d\n", 1000+rand.IntN(2000))
	if placed || !cursor.IsZero() {
		head = fmt.Appendf(head, "id: %s\n", cursor)
	}
	return append(head, '\n')
}
