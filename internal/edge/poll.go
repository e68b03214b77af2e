package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"pushgate/internal/proto"
)

// pollExpires marks a 304 whose Last-Message-Id the client is to take over. Clients compare the text.
const pollExpires = "Thu, 01 Jan 1973 11:11:01 GMT"

// poll is one held request. It answers with the first batch that there is, or after its time.
type poll struct{ end context.CancelCauseFunc }

func (p *poll) visit(time.Time) {}
func (p *poll) leave()          { p.end(ReasonLeaving) }
func (p *poll) cut()            { p.end(ReasonLeaving) }
func (p *poll) makeRoom()       { p.end(ReasonTooMany) }

func (e *Edge) servePoll(w http.ResponseWriter, r *http.Request, sub subscription) {
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	rest := e.config.PollTimeout
	if !sub.expires.IsZero() {
		rest = min(rest, time.Until(sub.expires))
	}
	timer := time.AfterFunc(rest, func() { end(ReasonTimeout) })
	defer timer.Stop()
	wake := make(chan struct{}, 1)
	t := e.join(ctx, sub.portal)
	defer t.part()
	session := t.hub.Attach(sub.channels, sub.cursor, func() { wake <- struct{}{} })
	defer session.Detach()
	p := &poll{end}
	slot := e.wheel.add(p)
	defer e.wheel.remove(p, slot)
	t.crowds.enter(sub.owner(), sub.portal.Limits.Connections, p)
	defer t.crowds.leave(sub.owner(), p)
	e.metrics.polls.Inc()
	defer e.metrics.polls.Dec()
	e.numbers.polls.Add(1)
	defer e.numbers.polls.Add(-1)

	withheld := false
	for ctx.Err() == nil {
		batch, _ := session.Next(ctx)
		if batch.Gap {
			e.noteGap(sub)
		}
		if len(batch.Messages) > 0 {
			if packet := e.packets.encode(&sub, batch.Messages); packet.frame != nil {
				e.answer(w, sub, packet)
				e.packets.release(packet)
				return
			}
			withheld = true
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
	reason := ReasonClientClosed
	errors.As(context.Cause(ctx), &reason)
	e.metrics.ends[reason].Inc()
	if reason == ReasonTooMany {
		refuse(w, proto.ErrTooManyConnections)
		return
	}
	cursor := session.Cursor()
	if sub.cursor != nil && !withheld { // else the next poll would read again what this reader must not have
		cursor = *sub.cursor
	}
	nothingHappened(w, cursor)
}

// answer writes a packet. A short one leaves together with its head: some readers read but once.
func (e *Edge) answer(w http.ResponseWriter, sub subscription, packet packet) {
	h := w.Header()
	h.Set("Content-Type", sub.codec.contentType)
	h.Set(allowOrigin, "*")
	h.Set(exposeHeaders, lastMessageID)
	h.Set("Content-Length", strconv.Itoa(len(packet.payload())))
	if _, err := w.Write(packet.payload()); err != nil {
		e.metrics.ends[ReasonLost].Inc()
		return
	}
	e.metrics.ends[ReasonAnswered].Inc()
	e.metrics.sent(longPoll, packet)
}

// nothingHappened answers 304, from which the client takes the id that it is to come back with.
func nothingHappened(w http.ResponseWriter, cursor proto.ID) {
	h := w.Header()
	// Under its usual spelling net/http takes this header off a 304; the original sends it.
	h["content-type"] = []string{plainText}
	h.Set(allowOrigin, "*")
	h.Set(exposeHeaders, lastMessageID)
	h.Set("Expires", pollExpires)
	h.Set(lastMessageID, "")
	if !cursor.IsZero() {
		h.Set(lastMessageID, cursor.String())
	}
	w.WriteHeader(http.StatusNotModified)
}

// noteGap tells the operator that a client came back too late: what it missed is no longer in the log.
func (e *Edge) noteGap(sub subscription) {
	e.logger.Warn("history is incomplete", "channel", sub.channels[0], "cursor", sub.cursor)
}
