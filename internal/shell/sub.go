package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/wait"
	"pushgate/internal/wire"
)

// The transports of a [Subscription].
const (
	WebSocket = "ws"
	Poll      = "poll"
	Stream    = "sse"
)

// Transports are all of them, the default first.
var Transports = []string{WebSocket, Stream, Poll}

const (
	firstPause = 300 * time.Millisecond // before the first attempt to connect again
	maxPause   = 30 * time.Second
	maxFrame   = 64 << 20 // bytes of a frame, an answer or an event
)

// Subscription is a client that prints what it gets. All fields but Since are required.
type Subscription struct {
	Server    *Server
	Portal    *portal.Portal
	Names     Names
	Transport string
	Since     string // id of a message, after which to begin; empty: with what comes from now on
	Print     func([]Message) error
	Note      func(format string, args ...any) // called with what happens to the connection

	mid       string // up to where everything was printed; empty before that is known
	connected bool   // at any time
}

// broken is an error of Print.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

// Run subscribes until ctx ends, and again after each loss of the connection, from where it was. It
// returns nil if ctx ends, and else an error of Print, the first failure if there was no connection
// yet, or a refusal that another attempt would only repeat.
func (s *Subscription) Run(ctx context.Context) error {
	if _, err := s.Names.query(s.Portal, time.Now()); err != nil {
		return err
	}
	connect := map[string]func(context.Context) error{WebSocket: s.webSocket, Poll: s.poll, Stream: s.stream}[s.Transport]
	s.mid = s.Since
	pause := firstPause
	for {
		began := time.Now()
		err := connect(ctx)
		var no refusal
		var out broken
		switch {
		case errors.As(err, &out):
			return out.error
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &no):
			return fmt.Errorf("%s: %w", s.Server.name, no)
		case !s.connected:
			return fmt.Errorf("subscribe at %s: %w; --url names another edge", s.Server.name, plain(err))
		}
		if time.Since(began) > maxPause {
			pause = firstPause
		}
		delay := pause/2 + rand.N(pause/2)
		s.Note("%s: %v; connecting again in %v", s.Server.name, plain(err), delay.Round(10*time.Millisecond))
		wait.For(ctx, delay)
		pause = min(2*pause, maxPause)
	}
}

// begin finds out where a subscription without a position begins, so that nothing is lost if the
// connection is before the first message. A stream says so at once, and no other transport does.
// The error is a list or token that is refused. Anything else that fails is left to the transport:
// there may be no streams here.
func (s *Subscription) begin(ctx context.Context) error {
	if s.mid != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	err := s.events(ctx, func(e event) error {
		s.mid, s.connected = e.id, true // no id: the edge has just started
		return errPosition
	}, func() {})
	var no refusal
	if errors.As(err, &no) && no.signature {
		return err
	}
	return nil
}

var errPosition = errors.New("the position is known")

// opened notes that there is a connection.
func (s *Subscription) opened(how string) {
	s.connected = true
	if id, err := proto.ParseID(s.mid); err == nil && !id.IsZero() {
		how += ", after " + s.mid
	}
	s.Note("connected to %s by %s", s.Server.name, how)
}

// refuse returns the error of an answer that is no success.
func refuse(status int, body []byte) error {
	switch said := words(status, body); status {
	case http.StatusBadRequest:
		return refusal{text: "refused with " + said + " (" + checkKeys + ")", signature: true}
	case http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized:
		return refusal{text: "refused with " + said + "; --url names another edge"}
	default:
		return errors.New("answered with " + said)
	}
}

const checkKeys = "PUSHGATE_KEYS, PUSHGATE_SIGNATURE_ALGO and PUSHGATE_HOST_ID here are not those of the edge, the signature of the list is wrong, or it is put out: pushgate revoke --list"

// record is an element of an array of JSON records.
type record struct {
	MID     string          `json:"mid"`
	Channel string          `json:"channel"`
	Tag     string          `json:"tag"`
	Time    string          `json:"time"`
	Text    json.RawMessage `json:"text"`
	Extra   struct {
		Sender *struct {
			ID string `json:"id"`
		} `json:"sender"`
	} `json:"extra"`
}

// take prints records, and remembers the last one.
func (s *Subscription) take(records []record) error {
	messages := make([]Message, 0, len(records))
	for _, r := range records {
		if _, err := proto.ParseID(r.MID); err != nil {
			return errRecords
		}
		m := s.message(r)
		if m.Type == wire.GapType && m.Sender == portalSender {
			s.gap(r)
			s.mid = r.MID
			continue
		}
		messages = append(messages, m)
		s.mid = r.MID
	}
	if err := s.Print(messages); err != nil {
		return broken{err}
	}
	return nil
}

const portalSender = "portal"

func (s *Subscription) message(r record) Message {
	_, typ, _ := proto.CheckBody(r.Text)
	m := Message{MID: r.MID, Type: typ, Channel: s.channel(r.Channel), Sender: portalSender, Size: len(r.Text), Body: r.Text}
	if at, err := time.Parse(http.TimeFormat, r.Time); err == nil {
		milliseconds, _ := strconv.ParseUint(r.Tag, 10, 10)
		m.Time = at.Add(time.Duration(milliseconds) * time.Millisecond)
	}
	if r.Extra.Sender != nil {
		m.Sender = clientSender(r.Extra.Sender.ID)
	}
	return m
}

// channel returns the channel of a record as it is shown. A dash stands for the user's own.
func (s *Subscription) channel(text string) string {
	if text == "-" && len(s.Names.Users) == 1 {
		return label(channel.ForUser(s.Names.Users[0]))
	}
	id, err := channel.Parse(text)
	if err != nil {
		return "-"
	}
	for _, ref := range s.Names.Refs {
		if ref.Public == id {
			return label(channel.ForPublic(id))
		}
	}
	return label(id)
}

// clientSender returns a client as it is shown, by its public id or the number of its user.
func clientSender(name string) string {
	if userName.MatchString(name) {
		return "client " + userPrefix + name
	}
	id, err := channel.Parse(name)
	if err != nil {
		return "client"
	}
	return "client " + label(id)
}

// gap notes that the log does not hold all that was missed.
func (s *Subscription) gap(r record) {
	var note struct {
		Params struct{ After, Before string }
	}
	if json.Unmarshal(r.Text, &note) == nil {
		noteGap(s.Note, Clean(note.Params.After), Clean(note.Params.Before))
	}
}

func noteGap(note func(string, ...any), after, before string) {
	note("gap: the log no longer holds all messages after %s and before %s", after, before)
}
