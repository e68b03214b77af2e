package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"pushgate/tools/load/loop"
)

// errKey is the answer to channels that this program has signed with another key than the server's.
// Trying again does not help.
var errKey = errors.New("4010: the server has another signature key, or another algorithm")

// gapNote is part of the note that a server sends when it may have lost messages. Messages that
// were really lost do not come, and are counted.
const gapNote = `"command":"gap"`

// phase is how far a connection of a subscriber has got.
type phase int

const (
	absent  phase = iota
	dialing       // connecting, or waiting for the answer
	live          // what is sent now must come
)

// subscriber is one client over the whole run, in which it may have several connections, one at a
// time. It implements [loop.Handler].
type subscriber struct {
	run       *run
	target    target
	channels  string // as a subscriber names them
	form      Form
	transport Transport
	keeps     bool // notes its position, and comes back with it when its connection breaks
	slow      bool // its latencies do not count
	cut       bool // it is slow, and the server has ended a connection before it had everything
	cursors   []cursor

	conn     *loop.Conn
	phase    phase
	dialed   time.Duration
	since    time.Duration // when it became live: the latency of older messages does not count
	away     bool          // wants no connection
	out      bool          // the server has ended its connection, and it is not back
	greeted  bool
	position string
	epoch    string // of the position, with Centrifugo
	upgraded bool   // with Centrifugo, which is then asked for a subscription
	chunked  bool
	events   []byte // of a stream, those that are not complete
}

// Opened sends the request.
func (s *subscriber) Opened(c *loop.Conn) {
	c.Write(s.appendRequest(nil))
	if s.transport == Poll && s.phase == dialing { // a held poll has no answer yet
		s.arrived()
	}
}

func (s *subscriber) arrived() {
	s.phase = live
	s.since = s.run.loop.Now()
	s.run.arrived(s, s.since-s.dialed)
}

// Data handles what has arrived.
func (s *subscriber) Data(c *loop.Conn, b []byte) (used int) {
	now := s.run.loop.Now()
	for used < len(b) {
		n, err := s.part(c, b[used:], now)
		if err != nil {
			s.broken(c, err)
			return used
		}
		if n == 0 || s.conn != c {
			break
		}
		used += n
	}
	return used
}

// part handles one frame, answer or piece of a stream, and returns how many bytes it has.
func (s *subscriber) part(c *loop.Conn, b []byte, now time.Duration) (used int, err error) {
	switch {
	case s.transport == Poll:
		return s.answer(c, b, now)
	case s.phase == dialing && !s.upgraded:
		return s.welcome(c, b)
	case s.form == SSE:
		return s.piece(b, now)
	default:
		return s.frame(c, b, now)
	}
}

// welcome reads the answer to the request for a WebSocket or a stream.
func (s *subscriber) welcome(c *loop.Conn, b []byte) (used int, err error) {
	h, err := parseHead(b)
	if err != nil || h.size == 0 {
		return 0, err
	}
	want := 101
	if s.form == SSE {
		want = 200
		s.chunked = h.chunked()
	}
	if h.status == 400 || h.status == 403 {
		return 0, errKey
	}
	if h.status != want {
		return 0, fmt.Errorf("status %d", h.status)
	}
	if want == 101 && h.field("Sec-WebSocket-Accept") != handshakeAnswer {
		return 0, errors.New("wrong Sec-WebSocket-Accept")
	}
	if s.run.Peer == Centrifugo {
		s.upgraded = true
		c.Write(appendFrame(nil, opText, s.appendCommands(nil)))
		return h.size, nil
	}
	s.arrived()
	return h.size, nil
}

func (s *subscriber) frame(c *loop.Conn, b []byte, now time.Duration) (used int, err error) {
	f, err := parseFrame(b)
	if err != nil || f.used == 0 {
		return 0, err
	}
	switch f.opcode {
	case opPing:
		c.Write(appendFrame(nil, opPong, f.payload))
	case opPong:
	case opClose:
		code := uint16(1005)
		if len(f.payload) >= 2 {
			code = binary.BigEndian.Uint16(f.payload)
		}
		if code == 4010 {
			return 0, errKey
		}
		return 0, fmt.Errorf("closed by the server with %d", code)
	case opText, opBinary:
		if (f.opcode == opBinary) != (s.form == Protobuf) {
			return 0, fmt.Errorf("a frame of type %d", f.opcode)
		}
		if s.form == JSONRPC && string(f.payload) == "ping" {
			c.Write(appendFrame(nil, opText, []byte("pong")))
			break
		}
		if s.run.Peer == Centrifugo {
			return f.used, s.lines(c, f.payload, now)
		}
		s.take(f.payload, now)
	default:
		return 0, errFrame
	}
	return f.used, nil
}

// answer reads the answer to a poll and asks again.
func (s *subscriber) answer(c *loop.Conn, b []byte, now time.Duration) (used int, err error) {
	a, err := parseAnswer(b)
	if err != nil || a.used == 0 {
		return 0, err
	}
	switch a.status {
	case 200:
		s.take(a.body, now)
	case 304, 408: // nchan answers 408 where the portal's protocol has 304
	case 400, 403:
		return 0, errKey
	default:
		return 0, fmt.Errorf("status %d", a.status)
	}
	s.notePoll(a.head)
	switch {
	case s.conn != c: // it has left meanwhile
	case a.keeps():
		c.Write(s.appendRequest(nil))
	default:
		s.leave()
		s.dial()
	}
	return a.used, nil
}

// piece reads a piece of a stream, and takes the events that are complete with it.
func (s *subscriber) piece(b []byte, now time.Duration) (used int, err error) {
	data, used := b, len(b)
	if s.chunked {
		data, used, err = parseChunk(b)
		if err != nil || used == 0 {
			return 0, err
		}
		if data == nil {
			return 0, errors.New("the server ended the stream")
		}
	}
	s.events = append(s.events, data...)
	if end := bytes.LastIndex(s.events, []byte("\n\n")); end >= 0 {
		whole := s.events[:end+2]
		if bytes.Contains(whole, []byte("data:")) {
			s.take(whole, now)
		} else if s.keeps {
			s.note(whole)
		}
		if s.events = append([]byte(nil), s.events[end+2:]...); len(s.events) == 0 {
			s.events = nil
		}
	}
	return used, nil
}

// take records all messages of a payload.
func (s *subscriber) take(payload []byte, now time.Duration) {
	found := false
	for b := payload; ; found = true {
		m, rest, ok := nextMark(b)
		if !ok {
			if rest != nil {
				s.run.fault("a message is damaged")
				found = true
			}
			break
		}
		s.message(m, now)
		b = rest
	}
	switch told := (!found || s.keeps) && bytes.Contains(payload, []byte(gapNote)); {
	case told:
		s.run.report.Gaps++
	case !found:
		s.run.fault("a frame, or an answer, without a message")
	}
	if s.keeps || s.transport == Poll {
		s.note(payload)
	}
}

func (s *subscriber) message(m mark, now time.Duration) {
	for i := range s.cursors {
		c := &s.cursors[i]
		if c.stream.number != m.stream {
			continue
		}
		if m.sequence == 0 {
			s.run.greet(s)
			return
		}
		latency := time.Duration(-1)
		if !s.slow && m.sent >= s.since {
			latency = now - m.sent
		}
		s.run.delivery(c.take(m.sequence), latency)
		return
	}
	s.run.delivery(stray, -1)
}

// Closed handles the end of a connection that this program did not close.
func (s *subscriber) Closed(c *loop.Conn, err error) {
	if s.conn == c {
		s.broken(c, err)
	}
}

// broken ends a connection, and comes back with the position if there is one.
func (s *subscriber) broken(c *loop.Conn, err error) {
	was := s.phase
	c.Close()
	s.conn, s.phase, s.events, s.upgraded = nil, absent, nil, false
	s.run.left(s, was, err)
	if s.away || s.run.ending {
		return
	}
	s.run.after(time.Duration(100+rand.IntN(400))*time.Millisecond, func() {
		if s.conn == nil && !s.away && !s.run.ending {
			s.dial()
		}
	})
}

// dial begins a connection. An error is a fault of this machine, and ends the run.
func (s *subscriber) dial() {
	s.away = false
	s.dialed = s.run.loop.Now()
	c, err := s.run.loop.Dial(s.target.addr, s.run.source(), s)
	if err != nil {
		s.run.fail(err)
		return
	}
	s.conn, s.phase = c, dialing
	s.run.dialing++
}

// leave ends the connection, and the subscriber does not come back by itself.
func (s *subscriber) leave() {
	s.away = true
	if s.conn == nil {
		return
	}
	s.conn.Close()
	s.run.left(s, s.phase, nil)
	s.conn, s.phase, s.events, s.upgraded = nil, absent, nil, false
}

// lost counts the messages that have not come.
func (s *subscriber) lost() (n int) {
	for i := range s.cursors {
		n += s.cursors[i].lost()
	}
	return n
}
