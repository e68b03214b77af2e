package wire

import (
	"strconv"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// The markers of a text record. No body contains one, because [proto.CheckBody] refuses or escapes
// them.
const (
	textBegin = "#!NGINXNMS!#"
	textEnd   = "#!NGINXNME!#"
)

// TextFrame returns the text record of m for a reader that gets it through m.Receivers[via]
// (docs/protocol.md, Text records), or nil if via is negative. The frame is cached on the message.
func TextFrame(m *proto.Message, via int) *Frame {
	e := encodingsOf(m)
	return e.frame(&e.text, m, via, appendText)
}

// timeFormat is the date of HTTP (RFC 9110, 5.6.7), for times in UTC.
const timeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

func appendText(b []byte, m *proto.Message, via int) []byte {
	b = appendHead(append(b, textBegin...), m, via)
	b = append(b, `","text":`...)
	b = append(b, m.Body...)
	return append(b, "}"+textEnd...)
}

// appendHead appends the fields before the body, in the order of the original server. The caller
// must append the closing quotation mark of the last value. The tag and the time say when the
// message was created.
func appendHead(b []byte, m *proto.Message, via int) []byte {
	created := m.Created.UTC()
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, textID(m.ID.Sequence), 10)
	b = append(b, `,"mid":"`...)
	b, _ = m.ID.AppendText(b)
	b = append(b, `","channel":"`...)
	b = appendVia(b, m.Receivers[via])
	b = append(b, `","tag":"`...)
	ms := created.Nanosecond() / int(time.Millisecond)
	b = append(b, '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10))
	b = append(b, `","time":"`...)
	return created.AppendFormat(b, timeFormat)
}

// appendVia appends the channel through which a reader gets a message. For reserved channels it is
// a dash, which the original server writes for every channel.
func appendVia(b []byte, id channel.ID) []byte {
	if id.IsReserved() {
		return append(b, '-')
	}
	if public, ok := id.PublicID(); ok {
		id = public
	}
	b, _ = id.AppendText(b)
	return b
}

// textID returns the sequence rounded to a double, as the original server does, which is written in
// JavaScript.
func textID(sequence uint64) uint64 { return uint64(float64(sequence)) }
