package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Events holds one stream of server-sent events until it breaks or ctx ends, and returns what ended
// it; nil if the server completed the answer. It does what an EventSource does (WHATWG HTML,
// Server-sent events): its address never changes, and its position is in a header once it has
// received an id, even of an event without data.
func (c *Client) Events(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+"/bitrix/sse/?"+c.query(c.From), nil)
	if err != nil {
		return err
	}
	brought := c.Last()
	if c.known() != "" {
		r.Header.Set("Last-Event-ID", brought)
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		c.status(answer.StatusCode)
		return errors.New(answer.Status)
	}
	if kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		c.fault("a stream of type %q", answer.Header.Get("Content-Type"))
	}
	c.count(func(n *Counts) { n.Streams++ })
	lines := bufio.NewReader(answer.Body)
	for first := true; ; first = false {
		e, err := readEvent(lines)
		switch {
		case err == io.EOF:
			return nil // the rest is not an event
		case err != nil:
			return err
		case first:
			c.head(e, brought)
		default:
			c.event(e)
		}
	}
}

// event has the fields between two empty lines.
type event struct{ id, data, retry string }

// readEvent reads up to an empty line. An incomplete event is ignored.
func readEvent(lines *bufio.Reader) (e event, err error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return event{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return e, nil
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "": // a comment
		case "id":
			e.id = value
		case "data":
			e.data += value + "\n"
		case "retry":
			e.retry = value
		default:
			return event{}, fmt.Errorf("line %q", line)
		}
	}
}

// head handles the beginning of a stream, which has the id where it begins.
func (c *Client) head(e event, brought string) {
	if e.data != "" || e.retry == "" || brought != "" && e.id != brought {
		c.fault("a stream after %q begins with %+v", brought, e)
	}
	c.begin(e.id)
}

// event handles what comes later: an event or a comment.
func (c *Client) event(e event) {
	if e.data == "" {
		if e != (event{}) {
			c.fault("an event without data: %+v", e)
		}
		return
	}
	record, err := jsonRecord([]byte(e.data))
	if err != nil {
		c.fault("%v", err)
		return
	}
	if record.MID != e.id {
		c.fault("an event %q with the record of %q", e.id, record.MID)
	}
	c.take([]Record{record}, stream)
}
