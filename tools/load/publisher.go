package load

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/tools/load/loop"
)

// post is a message that is due.
type post struct {
	stream   *stream
	due      time.Duration
	greeting bool
}

// publisher is one connection that posts, one message at a time. It implements [loop.Handler].
type publisher struct {
	run    *run
	target target
	body   []byte
	queue  []post
	// Returns the next stream to post to when the queue is empty, or nil at the end; nil if there
	// is only the queue.
	refill  func() *stream
	streams []*stream

	conn    *loop.Conn
	open    bool
	busy    bool
	current post
	place   uint32
	asked   time.Duration
	request []byte
	call    []byte // the body of the request, where it says to which channel the message goes
}

// callFields are the header fields of a request that says in its body to which channel the message
// goes.
const callFields = "Content-Type: application/json\r\n"

// enqueue posts a message as soon as all before it are answered. If that is later than now, the
// wait is part of its latency.
func (p *publisher) enqueue(s *stream, greeting bool) {
	p.queue = append(p.queue, post{s, p.run.loop.Now(), greeting})
	p.run.pending++
	p.next()
}

func (p *publisher) dial() {
	c, err := p.run.loop.Dial(p.target.addr, p.run.source(), p)
	if err != nil {
		p.run.fail(err)
		return
	}
	p.conn, p.open = c, false
}

// next posts the next message, if there is one and the connection has nothing to do.
func (p *publisher) next() {
	if p.busy || !p.open {
		return
	}
	switch {
	case len(p.queue) > 0:
		p.current = p.queue[0]
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil
		}
	case p.refill != nil:
		s := p.refill()
		if s == nil {
			return
		}
		p.run.pending++
		p.current = post{stream: s, due: p.run.loop.Now()}
	default:
		return
	}
	p.place = 0
	if !p.current.greeting {
		p.current.stream.posted++
		p.place = p.current.stream.posted
		p.run.now.posted++
	}
	mark{p.current.stream.number, p.place, p.current.due}.put(p.body[bodyMark:])
	p.busy, p.asked = true, p.run.loop.Now()
	p.request = p.appendRequest(p.request[:0])
	p.conn.Write(p.request)
}

func (p *publisher) appendRequest(b []byte) []byte {
	to := p.current.stream.channels
	fields, body := "Content-Type: text/plain\r\nMessage-Expiry: 3600\r\n", p.body
	b = append(b, "POST "...)
	switch {
	case p.run.Peer == Centrifugo:
		p.call = appendPublish(p.call[:0], to, p.body)
		fields, body = callFields, p.call
		// With the key of the API, if one is needed.
		b = append(b, cmp.Or(p.target.path, "/api/publish")...)
	case p.run.Peer == Pushpin:
		p.call = appendItem(p.call[:0], to, p.body)
		fields, body = callFields, p.call
		b = append(b, cmp.Or(p.target.path, "/publish/")...)
	case p.target.template:
		b = append(b, strings.ReplaceAll(p.target.path, channelPlace, to)...)
	default:
		b = append(append(append(b, cmp.Or(p.target.path, "/bitrix/pub/")...), "?CHANNEL_ID="...), to...)
		if p.run.ClientID != "" {
			b = append(append(b, "&clientId="...), p.run.ClientID...)
		}
		if p.run.Sign {
			b = append(append(b, "&signature="...), p.run.Signer.sign(p.body)...)
		}
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), p.target.host...), "\r\n"...)
	b = append(append(b, fields...), "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// Opened begins to post.
func (p *publisher) Opened(*loop.Conn) {
	p.open = true
	p.next()
}

// Data reads the answer.
func (p *publisher) Data(c *loop.Conn, b []byte) int {
	a, err := parseAnswer(b)
	switch {
	case err != nil || a.used > 0 && !p.busy:
		c.Close()
		p.Closed(c, errAnswer)
		return 0
	case a.used == 0:
		return 0
	}
	if a.status/100 == 2 {
		p.done(nil)
	} else {
		text, _, _ := bytes.Cut(a.body, []byte("\n"))
		p.done(&refusal{a.status, string(text[:min(len(text), 80)])})
	}
	if !a.keeps() {
		c.Close()
		p.dial()
		return len(b)
	}
	p.next()
	return a.used
}

// Closed begins anew. What was not answered may have been accepted or not.
func (p *publisher) Closed(_ *loop.Conn, err error) {
	p.open = false
	if p.busy {
		p.done(err)
	}
	if !p.run.ending {
		p.run.after(100*time.Millisecond, p.dial)
	}
}

// refusal is an answer without a status of success.
type refusal struct {
	status int
	text   string
}

// Error returns status and text of the answer.
func (r *refusal) Error() string { return strings.TrimSpace(strconv.Itoa(r.status) + " " + r.text) }

// errUnanswered is about posts that had no answer when the run ended. Nothing was promised of them.
var errUnanswered = errors.New("no answer")

func (p *publisher) done(err error) {
	p.busy = false
	p.run.pending--
	s := p.current.stream
	switch {
	case err != nil && !p.current.greeting:
		s.refused = append(s.refused, p.place)
		p.run.refused(err)
	case err != nil:
		p.run.refused(err)
		var r *refusal
		if errors.As(err, &r) && r.status/100 == 4 {
			p.run.fail(fmt.Errorf("a post is refused: %w", err))
		}
	case !p.current.greeting:
		s.accepted++
		p.run.accepted(s, p.run.loop.Now()-p.asked)
	}
}

// turns returns the streams of a publisher in turns, until the time is over or each was returned so
// many times.
func (p *publisher) turns(until time.Duration, most uint32) func() *stream {
	i := -1
	own := slices.Clone(p.streams)
	return func() *stream {
		if len(own) == 0 || p.run.loop.Now() >= until {
			return nil
		}
		i = (i + 1) % len(own)
		if most > 0 && own[i].posted >= most {
			return nil
		}
		return own[i]
	}
}
