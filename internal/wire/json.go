package wire

import (
	"encoding/json"

	"pushgate/internal/proto"
)

// JSONFrame returns m in the array of records that "format=json" asks for (docs/protocol.md, JSON
// records), for a reader that gets it through m.Receivers[via], or nil if via is negative. It may
// be cached on the message.
func JSONFrame(m *proto.Message, via int) *Frame {
	e := encodingsOf(m)
	return e.frame(&e.json, m, via, appendJSON)
}

// appendJSON appends an array of one record. It has the fields of a text record, but its text
// always parses, and it also has the extra of the body.
func appendJSON(b []byte, m *proto.Message, via int) []byte {
	b = appendHead(append(b, '['), m, via)
	b = append(b, `","text":`...)
	extra := json.RawMessage("{}")
	if body, ok := proto.ParseObject(m.Body); ok {
		b = append(b, m.Body...)
		if value := body.Get("extra"); len(value) > 0 && value[0] == '{' {
			extra = value
		}
	} else {
		b = appendValue(b, m.Body)
	}
	b = append(b, `,"extra":`...)
	return append(append(b, extra...), "}]"...)
}

// appendValue appends a body as a value: as it is, or, if it is not JSON, as a string.
func appendValue(b, body []byte) []byte {
	if json.Valid(body) {
		return append(b, body...)
	}
	return proto.AppendString(b, string(body))
}

// appendEvent appends m as an event of a text/event-stream (WHATWG HTML, 9.2.5). Its id is the
// message's, and its data is the element of f, a frame of [JSONFrame].
func appendEvent(b []byte, m *proto.Message, f *Frame) []byte {
	b, _ = m.ID.AppendText(append(b, "id: "...))
	b = append(b, "\ndata: "...)
	return append(append(b, element(f)...), "\n\n"...)
}

// element returns what a frame of [JSONFrame] or [RPCFrame] is in an array of several.
func element(f *Frame) []byte {
	payload := f.Payload()
	if payload[0] == '[' {
		return payload[1 : len(payload)-1]
	}
	return payload
}
