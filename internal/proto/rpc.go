package proto

import (
	"encoding/json"
	"strconv"
)

// JSON returns m in the array of records that format=json stands for (docs/protocol.md, JSON records), for a reader that has
// it by way of m.Receivers[via], or nil if via is negative. The frame is made at the first call for each receiver and cached.
// Several are joined by their [Element]s.
func (m *Message) JSON(via int) *Frame { return m.json.frame(m, via, appendJSON) }

// appendJSON writes the record of a text reader as an element that always parses, and the body's extra beside it.
func appendJSON(b []byte, m *Message, via int) []byte {
	b = appendHead(append(b, '['), m, via)
	b = append(b, `","text":`...)
	extra := json.RawMessage("{}")
	if body, ok := ParseObject(m.Body); ok {
		b = append(b, m.Body...)
		if value := body.Get("extra"); len(value) > 0 && value[0] == '{' {
			extra = value
		}
	} else {
		b = appendJSONValue(b, m.Body)
	}
	b = append(b, `,"extra":`...)
	return append(append(b, extra...), "}]"...)
}

// appendJSONValue writes a body as a value: as it is, or, if it is not JSON, as a string.
func appendJSONValue(b, body []byte) []byte {
	if json.Valid(body) {
		return append(b, body...)
	}
	return appendJSONString(b, string(body))
}

// AppendSSE appends m as an event of a text/event-stream, whose id is the message's and whose data is the element of
// [Message.JSON]. It appends nothing if via is negative.
func (m *Message) AppendSSE(b []byte, via int) []byte {
	if via < 0 {
		return b
	}
	return m.AppendEvent(b, m.JSON(via))
}

// AppendEvent appends m as an event of a text/event-stream (WHATWG HTML, 9.2.5): its id is the
// message's, and its data is the element of a frame of [Message.JSON].
func (m *Message) AppendEvent(b []byte, json *Frame) []byte {
	b, _ = m.ID.AppendText(append(b, "id: "...))
	b = append(b, "\ndata: "...)
	return append(append(b, Element(json)...), "\n\n"...)
}

// RPC gives m as the request that version 5 sends to a client that is user, or 0 if it is nobody in particular (docs/protocol.md,
// JSON-RPC). It has no id, so that nobody answers it. The frame is cached, unless m has params for this user alone. Several are
// joined by their [Element]s.
func (m *Message) RPC(user int64) *Frame {
	own := m.paramsOf(user)
	if own != nil {
		return seal(OpText, appendRPC(unsealed(len(m.Body)+len(own)+aroundBody), m, own))
	}
	if made := m.rpc.Load(); made != nil {
		return made
	}
	made := seal(OpText, appendRPC(unsealed(len(m.Body)+aroundBody), m, nil))
	m.rpc.Store(made)
	return made
}

// noObject is the body that clients of version 5 get in place of one that is no JSON object: they put the sender into it, which fails for
// any other value, and takes down with it whatever else is in the frame.
const noObject = `{"module_id":"","command":"","params":{},"text":`

func appendRPC(b []byte, m *Message, own []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","method":"incoming.message","params":{"mid":"`...)
	b, _ = m.ID.AppendText(b)
	b = append(b, `","body":`...)
	if _, ok := ParseObject(m.Body); ok {
		b = append(b, m.Body...)
	} else {
		b = append(appendJSONValue(append(b, noObject...), m.Body), '}')
	}
	b = appendSenderJSON(append(b, `,"sender":`...), m.Sender)
	if own != nil {
		b = append(append(b, `,"user_params":`...), own...)
	}
	return append(b, "}}"...)
}

// appendSenderJSON writes who a message is from. Only a client is one: what bears no name is from a time when clients could not send.
func appendSenderJSON(b []byte, s Sender) []byte {
	if s.Type != SenderClient {
		return append(b, `{"type":2}`...)
	}
	b = append(b, `{"type":1`...)
	if !s.ID.IsZero() {
		b = append(append(append(b, `,"id":"`...), s.Name()...), '"')
	}
	return append(b, '}')
}

// Name gives the sender's id as readers see it: the number of a user of version 5, else a public id; empty if there is none.
func (s Sender) Name() string {
	if user, ok := s.ID.User(); ok {
		return strconv.FormatInt(user, 10)
	}
	return s.ID.String()
}

// Element gives what a frame of [Message.JSON] or [Message.RPC] is in an array of several.
func Element(f *Frame) []byte {
	payload := f.Payload()
	if payload[0] == '[' {
		return payload[1 : len(payload)-1]
	}
	return payload
}
