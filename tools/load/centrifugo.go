package load

import (
	"bytes"
	"fmt"
	"time"

	"pushgate/tools/load/loop"
)

// Centrifugo's client protocol in JSON has replies and pushes on lines of their own, any number of
// them in a frame. Replies are not decoded, but searched for a few members: bodies have none of
// these names, and decoding would cost more than everything else here.

// appendCommands appends the two commands by which s connects and subscribes, after its position if
// it has one.
func (s *subscriber) appendCommands(b []byte) []byte {
	b = append(b, `{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"`...)
	b = append(append(b, s.channels...), '"')
	if s.position != "" {
		b = append(append(b, `,"recover":true,"epoch":"`...), s.epoch...)
		b = append(append(b, `","offset":`...), s.position...)
	}
	return append(b, "}}"...)
}

// lines handles the lines of a frame of Centrifugo.
func (s *subscriber) lines(c *loop.Conn, payload []byte, now time.Duration) error {
	for line := range bytes.SplitSeq(payload, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if err := s.line(c, line, now); err != nil || s.conn != c {
			return err
		}
	}
	return nil
}

func (s *subscriber) line(c *loop.Conn, line []byte, now time.Duration) error {
	switch {
	case bytes.HasPrefix(line, []byte(`{"push":`)):
		if bytes.Contains(line, []byte(`"unsubscribe":{`)) {
			return fmt.Errorf("unsubscribed by the server: %.200s", line)
		}
		s.take(line, now)
	case string(line) == "{}": // a ping
		c.Write(appendFrame(nil, opText, line))
	case bytes.Contains(line, []byte(`"error":{`)):
		return fmt.Errorf("refused by the server: %.200s", line)
	case bytes.HasPrefix(line, []byte(`{"id":1,"connect":`)):
	case bytes.HasPrefix(line, []byte(`{"id":2,"subscribe":`)) && s.phase == dialing:
		s.subscribed(line, now)
	default:
		return fmt.Errorf("unexpected line: %.200s", line)
	}
	return nil
}

// subscribed handles the answer to the subscription, which contains what was missed.
func (s *subscriber) subscribed(reply []byte, now time.Duration) {
	s.epoch = member(reply, `"epoch":"`)
	if bytes.Contains(reply, []byte(`"was_recovering":true`)) && !bytes.Contains(reply, []byte(`"recovered":true`)) {
		s.run.report.Gaps++
	}
	s.arrived()
	if bytes.Contains(reply, []byte(`"publications":[`)) {
		s.take(reply, now)
	}
}

// member returns what follows the last occurrence of a name, up to the next quotation mark, comma
// or brace.
func member(line []byte, name string) string {
	i := bytes.LastIndex(line, []byte(name))
	if i < 0 {
		return ""
	}
	value := line[i+len(name):]
	if end := bytes.IndexAny(value, `",}`); end >= 0 {
		value = value[:end]
	}
	return string(value)
}

// appendPublish appends the body of a post for Centrifugo's API: the message, and to which channel
// it goes.
func appendPublish(b []byte, channel string, body []byte) []byte {
	b = append(append(b, `{"channel":"`...), channel...)
	b = append(append(b, `","data":`...), body...)
	return append(b, '}')
}
