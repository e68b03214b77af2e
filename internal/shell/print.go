package shell

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Message is one message as it is printed.
type Message struct {
	Time    time.Time // when a publisher accepted it
	MID     string
	Type    string
	Channel string // by which it came, shortened
	Sender  string // portal, or a client with its id
	Size    int    // bytes of the body
	Body    []byte // nil if it is not shown
	// How long the log holds the message, and how much of that is left. Nil if that is not known,
	// as for a subscriber; a life of 0 is a transient message.
	Life, Left *time.Duration
}

// line is a message in JSON. Names are never changed or removed: scripts rely on them.
type line struct {
	Time    string          `json:"time"`
	MID     string          `json:"mid"`
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	Sender  string          `json:"sender"`
	Size    int             `json:"size"`
	Life    *float64        `json:"life_s,omitempty"`
	Left    *float64        `json:"left_s,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Printer writes messages, one on each line. What a message holds never reaches a terminal as a
// control character.
type Printer struct {
	Out   io.Writer
	JSON  bool // an object on each line, without colours
	Color bool
	now   func() time.Time // nil is time.Now
}

// Colours, by their SGR codes.
const (
	dim    = "2"
	bold   = "1"
	cyan   = "36"
	yellow = "33"
)

// Print writes messages at once. The error is that of the writer.
func (p *Printer) Print(messages []Message) error {
	var b []byte
	for i := range messages {
		if p.JSON {
			b = appendJSON(b, &messages[i])
		} else {
			b = p.appendText(b, &messages[i])
		}
	}
	if len(b) == 0 {
		return nil
	}
	_, err := p.Out.Write(b)
	return err
}

// timeForm is RFC 3339 with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

func appendJSON(b []byte, m *Message) []byte {
	l := line{Time: m.Time.UTC().Format(timeForm), MID: m.MID, Type: m.Type, Channel: m.Channel, Sender: m.Sender, Size: m.Size,
		Life: seconds(m.Life), Left: seconds(m.Left)}
	if m.Body != nil {
		l.Body = asJSON(m.Body)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l); err != nil {
		panic(err) // strings, numbers, and a body that is valid JSON
	}
	return append(appendEscaped(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))), '\n')
}

// asJSON returns a body that is JSON as it is, and any other as a string.
func asJSON(body []byte) json.RawMessage {
	if body = bytes.ToValidUTF8(body, []byte("\uFFFD")); json.Valid(body) {
		return body
	}
	text, err := json.Marshal(string(body))
	if err != nil {
		panic(err) // strings always encode
	}
	return text
}

func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

func (p *Printer) appendText(b []byte, m *Message) []byte {
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	form, at := "15:04:05.000", m.Time.Local()
	if at.Format(time.DateOnly) != now().Local().Format(time.DateOnly) {
		form = "2006-01-02 " + form
	}
	b = p.appendColored(b, dim, at.Format(form))
	b = p.appendColored(append(b, "  "...), cyan, m.MID)
	typ := m.Type
	if typ == "" {
		typ = "-"
	}
	b = p.appendColored(append(b, "  "...), bold, typ)
	b = appendEscaped(append(b, "  "...), []byte(m.Channel))
	color := ""
	if m.Sender != portalSender {
		color = yellow
	}
	b = p.appendColored(append(b, "  "...), color, m.Sender)
	b = append(b, "  "...)
	b = append(strconv.AppendInt(b, int64(m.Size), 10), " B"...)
	if m.Life != nil {
		b = append(append(b, "  "...), life(*m.Life, m.Left)...)
	}
	if m.Body != nil {
		b = appendEscaped(append(b, "  "...), m.Body)
	}
	return append(b, '\n')
}

// life says how long the log still holds a message.
func life(whole time.Duration, left *time.Duration) string {
	if whole == 0 {
		return "transient"
	}
	if left == nil {
		return short(whole)
	}
	return short(*left) + " of " + short(whole) + " left"
}

// short returns a duration in whole seconds, without units at its end that are 0.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	for _, zero := range []string{"0s", "0m"} {
		if before, ok := strings.CutSuffix(text, zero); ok && strings.HasSuffix(before, map[string]string{"0s": "m", "0m": "h"}[zero]) {
			text = before
		}
	}
	return text
}

func (p *Printer) appendColored(b []byte, color, text string) []byte {
	if !p.Color || color == "" {
		return appendEscaped(b, []byte(text))
	}
	b = append(append(append(b, "\x1b["...), color...), 'm')
	return append(appendEscaped(b, []byte(text)), "\x1b[0m"...)
}

// appendEscaped appends a text with everything escaped that is not to be seen: control characters,
// marks that turn the direction of writing, spaces of other widths. The escapes are those of JSON,
// in which such characters occur in strings only, so that the meaning of JSON stays the same.
func appendEscaped(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, "\uFFFD"...)
		case unicode.IsPrint(r):
			b = append(b, text[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b
}

// Clean returns a text that somebody else wrote, such as an answer of a server, for one line of a
// terminal: at most 300 bytes of it, without control characters.
func Clean(text string) string {
	const most = 300
	if len(text) > most {
		text = text[:most]
	}
	return string(appendEscaped(nil, []byte(text)))
}
