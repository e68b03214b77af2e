package edge

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/hub"
	"pushgate/internal/proto"
)

// pollExpires marks a 304 whose Last-Message-Id the client is to take over. Clients compare the text.
const pollExpires = "Thu, 01 Jan 1973 11:11:01 GMT"

// poll is one long poll. The goroutine of its request looks once whether anything is due. If nothing is, or the log has to be read first, the poll
// is held: its connection is taken from net/http and rests, and the answer is written by hand. If the client keeps the connection, it goes on
// resting, and what comes next is another poll on it, or given back to net/http.
type poll struct {
	// Immutable once it is held.
	handed  // without a connection while net/http has it
	tenant  *tenant
	sub     subscription
	session *hub.Session
	ctx     context.Context         // ends with the holding; its cause is the Reason
	end     context.CancelCauseFunc // the first call counts
	timer   *time.Timer             // of the holding
	slot    int

	hands    atomic.Int32 // who answers
	withheld bool         // there were messages that this reader must not have; owned by whoever answers

	mu    sync.Mutex
	phase pollPhase
	early []byte    // what the client has sent while it was held
	gone  bool      // the client has hung up while it was held
	last  bool      // the connection is not kept, whatever the answer said
	since time.Time // of the answer
}

// Who answers a poll.
const (
	byRequest int32 = iota // the request's goroutine, which has not found anything yet
	byWakened              // the same, but something has come meanwhile
	byHand                 // a goroutine that is started when something comes
)

// pollPhase is how far the connection of a poll has come.
type pollPhase int8

const (
	pollHeld pollPhase = iota // no answer yet
	pollKept                  // answered, and the client has not sent the next request
	pollDone                  // given back or closed
)

// visit implements member: it closes a connection that was kept long enough.
func (p *poll) visit(now time.Time) {
	p.mu.Lock()
	over := p.phase == pollKept && now.Sub(p.since) > keptConnection
	p.mu.Unlock()
	if over {
		p.closeKept()
	}
}

func (p *poll) leave() {
	if !p.closeKept() {
		p.finish(ReasonLeaving)
	}
}

func (p *poll) cut() {
	p.mu.Lock()
	p.last = true
	p.mu.Unlock()
	p.leave()
}

func (p *poll) makeRoom() { p.finish(ReasonTooMany) }

// finish has whoever answers do so now.
func (p *poll) finish(reason *Reason) {
	p.end(reason)
	p.session.Nudge()
}

// closeKept closes a connection that waits for the next request, and reports false if it does not.
func (p *poll) closeKept() bool {
	p.mu.Lock()
	kept := p.phase == pollKept
	if kept {
		p.phase = pollDone
	}
	p.mu.Unlock()
	if kept {
		p.drop()
	}
	return kept
}

func (e *Edge) servePoll(w http.ResponseWriter, r *http.Request, sub subscription) {
	p := &poll{handed: handed{edge: e}, tenant: e.join(r.Context(), sub.portal), sub: sub}
	again, _ := w.(*handWriter)
	if again != nil {
		p.handed, again.taken = again.handed, true
	}
	p.ctx, p.end = context.WithCancelCause(context.Background()) // of its own: net/http ends the request's with the handler
	p.session = p.tenant.attach(&p.sub, p.wake)
	p.slot = e.wheel.add(p)
	rest := e.config.PollTimeout
	if !sub.expires.IsZero() {
		rest = min(rest, time.Until(sub.expires))
	}
	p.timer = time.AfterFunc(rest, func() { p.finish(ReasonTimeout) })
	p.tenant.crowds.enter(sub.owner(), sub.portal.Limits.Connections, p)
	e.metrics.polls.Inc()
	p.tenant.numbers.polls.Add(1)

	switch {
	case !p.settle(w):
		p.hold(w, r)
	case again != nil:
		if p.close(again) {
			p.conn.Serve(p.read)
		}
	default:
		p.takeDown()
		e.wheel.remove(p, p.slot)
	}
}

// settle writes the answer that is due, and reports false if there is none yet: then the session calls wake.
func (p *poll) settle(w http.ResponseWriter) bool {
	for p.ctx.Err() == nil {
		batch := p.session.Next()
		if messages := p.tenant.withNote(&p.sub, batch); len(messages) > 0 {
			if p.answer(w, messages) {
				return true
			}
			p.withheld = true
			continue
		}
		if batch.Gap == nil && !batch.Nudged {
			return false
		}
	}
	reason := ReasonClientClosed
	errors.As(context.Cause(p.ctx), &reason)
	p.edge.metrics.ends[reason].Inc()
	switch reason {
	case ReasonClientClosed:
	case ReasonTooMany:
		refuse(w, proto.ErrTooManyConnections)
	default:
		cursor := p.session.Cursor()
		if p.sub.cursor != nil && !p.withheld { // else the next poll would read again what this reader must not have
			cursor = *p.sub.cursor
		}
		nothingHappened(w, cursor, p.sub.cursor != nil)
	}
	return true
}

// takeDown ends the session, once.
func (p *poll) takeDown() {
	p.timer.Stop()
	p.end(nil)
	p.session.Detach()
	p.tenant.crowds.leave(p.sub.owner(), p)
	p.tenant.part()
	p.edge.metrics.polls.Dec()
	p.tenant.numbers.polls.Add(-1)
}

// answer writes messages, all of them, and reports false if none is for this reader.
func (p *poll) answer(w http.ResponseWriter, messages []*proto.Message) bool {
	press := p.edge.packets.press()
	defer press.putAway()
	packet, _ := press.encode(&p.sub, messages, math.MaxInt)
	if packet.frame == nil {
		return false
	}
	p.edge.answered(packet, p.edge.answer(w, p.sub, packet))
	return true
}

// answer writes a packet. A short one leaves together with its head: some readers read but once.
func (e *Edge) answer(w http.ResponseWriter, sub subscription, packet packet) error {
	h := w.Header()
	h.Set("Content-Type", sub.codec.contentType)
	h.Set(allowOrigin, "*")
	h.Set(exposeHeaders, lastMessageID)
	h.Set("Content-Length", strconv.Itoa(len(packet.payload())))
	_, err := w.Write(packet.payload())
	return err
}

// answered ends the life of a packet, and counts it if it was written.
func (e *Edge) answered(packet packet, err error) {
	e.packets.release(packet)
	if err != nil {
		e.metrics.ends[ReasonLost].Inc()
		return
	}
	e.metrics.ends[ReasonAnswered].Inc()
	e.metrics.sent(longPoll, packet)
}

// nothingHappened answers 304, from which the client takes the id that it is to come back with. A client without any is told none where the log
// has none; but one that asks for everything is told again to do so.
func nothingHappened(w http.ResponseWriter, cursor proto.ID, brought bool) {
	h := w.Header()
	// Under its usual spelling net/http takes this header off a 304; the original sends it.
	h["content-type"] = []string{plainText}
	h.Set(allowOrigin, "*")
	h.Set(exposeHeaders, lastMessageID)
	h.Set("Expires", pollExpires)
	h.Set(lastMessageID, "")
	if brought || !cursor.IsZero() {
		h.Set(lastMessageID, cursor.String())
	}
	w.WriteHeader(http.StatusNotModified)
}
