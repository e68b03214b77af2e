package transport

import (
	"net/http"
	"time"

	"pushgate/internal/hub"
	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

// Headers that the known clients look at (docs/protocol.md, Long polling).
const (
	AllowOrigin   = "Access-Control-Allow-Origin"
	ExposeHeaders = "Access-Control-Expose-Headers"
	LastMessageID = "Last-Message-Id"
)

// pollExpires marks a 304 whose Last-Message-Id the client is to take over. Clients compare the
// text.
const pollExpires = "Thu, 01 Jan 1973 11:11:01 GMT"

// PollRequest is what a long poll asks for.
type PollRequest struct {
	Reader  *wire.Reader
	Cursor  *proto.ID     // of the client; nil if it has none
	Timeout time.Duration // until it is answered with 304

	// Revision says that the client named a revision of the protocol, as web clients do.
	Revision bool
}

// Held is a request that is answered later. Its methods may be called concurrently.
type Held interface {
	// Answer is called once. It answers the request as far as that goes without waiting, and
	// returns nil if all is sent. Else it returns a function that sends the rest and may block.
	Answer(status int, header http.Header, body []byte) (wait func() error)
	// Abandon ends the request after a panic and closes the connection.
	Abandon()
}

// Poll is one long poll: a request that is held until there is a message, and answered once. It
// does not own the connection, which may be kept for the next request.
type Poll struct {
	Delivery
	request PollRequest
	held    Held
	timer   *time.Timer
	down    bool // owned by deliver
}

// NewPoll returns a poll. attach makes its session, which calls wake when something is due.
func NewPoll(shared *Shared, owner Owner, request PollRequest, attach func(wake func()) *hub.Session) *Poll {
	p := &Poll{request: request}
	p.init(shared, owner, request.Reader, p, wholeBatch)
	p.session = attach(p.Wake)
	return p
}

// Start delivers for the first time, which may answer the held request. It is called once, before
// or after the other methods.
func (p *Poll) Start(held Held) {
	p.held = held
	p.timer = time.AfterFunc(p.request.Timeout, func() {
		defer p.shared.Panics.Recover("timer", nil)
		p.stop(ReasonTimeout)
	})
	p.start()
}

// Drop ends a poll that has not been started, and leaves its request alone.
func (p *Poll) Drop() { p.takeDown(ReasonPanic) }

// stop ends the poll with an answer without messages.
func (p *Poll) stop(reason *Reason) {
	p.end(reason)
	p.session.Nudge()
}

// Gone is called when the client has hung up.
func (p *Poll) Gone() { p.stop(ReasonClientClosed) }

// Leave asks for an answer soon: the process is leaving.
func (p *Poll) Leave() { p.stop(ReasonLeaving) }

// Evict ends the poll, because the same user has a newer connection.
func (p *Poll) Evict() { p.stop(ReasonTooMany) }

// Revoke answers the poll with a refusal: its client was put out.
func (p *Poll) Revoke() { p.stop(ReasonRevoked) }

func (p *Poll) control() []byte { return nil }
func (p *Poll) kind() Kind      { return KindPoll }

// send answers the poll. All messages of a batch go in one answer.
func (p *Poll) send(packet wire.Packet) (wait func() error) {
	p.end(ReasonAnswered)
	header := http.Header{"Content-Type": {p.reader.Codec.ContentType}, AllowOrigin: {"*"}, ExposeHeaders: {LastMessageID}}
	return p.held.Answer(http.StatusOK, header, packet.Payload())
}

func (p *Poll) sent(err error) (more bool) {
	reason := ReasonLost
	if err == nil {
		reason = ReasonAnswered
		p.session.AllSent()
	}
	p.shared.Metrics.Ended(reason)
	p.takeDown(reason)
	return false
}

// finish answers a poll that ends without a message.
func (p *Poll) finish(reason *Reason) {
	p.shared.Metrics.Ended(reason)
	status, header, body := http.StatusNotModified, http.Header{AllowOrigin: {"*"}, ExposeHeaders: {LastMessageID}}, []byte(nil)
	switch reason {
	case ReasonClientClosed:
		p.takeDown(reason)
		return
	case ReasonTooMany, ReasonRevoked:
		refusal := proto.ErrTooManyConnections
		if reason == ReasonRevoked {
			refusal = proto.ErrWrongChannel
		}
		status, body = refusal.Status(), []byte(refusal.Text)
		header.Set("Content-Type", wire.PlainText)
	default:
		p.nothingHappened(header)
	}
	wait := p.held.Answer(status, header, body)
	p.takeDown(reason)
	if wait != nil {
		// After an error, the front closes the connection.
		p.shared.Conns.Start(func() { _ = wait() })
	}
}

// nothingHappened sets the header of a 304. Unless the id in it is empty, the client sends it with
// its next poll.
func (p *Poll) nothingHappened(header http.Header) {
	cursor := p.session.Cursor()
	last := cursor.String()
	switch brought := p.request.Cursor; {
	case brought == nil && cursor.IsZero():
		last = "" // the log has none
	case brought == nil, p.withheld:
		// After its old id, the next poll would read again the messages that were withheld.
	case p.request.Revision:
		// The portal's newer web client stops polling when it gets an id here. Without one, all of
		// them keep theirs.
		last = ""
	default:
		last = brought.String()
	}
	// Under its usual spelling net/http would take this header off a 304; the original sends it.
	header["content-type"] = []string{wire.PlainText}
	header.Set("Expires", pollExpires)
	header.Set(LastMessageID, last)
}

// takeDown ends the session for a reason.
func (p *Poll) takeDown(reason *Reason) {
	if p.down {
		return
	}
	p.down = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.session.Detach()
	p.owner.Ended(reason)
}

func (p *Poll) abandon() {
	if p.end(ReasonPanic) {
		p.shared.Metrics.Ended(ReasonPanic)
	}
	p.held.Abandon()
	p.takeDown(ReasonPanic)
}
