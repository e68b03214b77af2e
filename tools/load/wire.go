package load

import (
	"bytes"
	"encoding/hex"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// channelPlace stands for the channel in an address; channelMark stands for that while the address
// is read.
const (
	channelPlace = "{channel}"
	channelMark  = "CHANNEL-PLACE"
)

// usualPath returns the path of a server whose URL has none.
func usualPath(peer Peer, form Form, transport Transport) string {
	switch {
	case peer == Centrifugo:
		return "/connection/websocket"
	case form == SSE:
		return "/bitrix/sse/"
	case transport == Poll && peer != Node: // which answers polls at the path of WebSockets
		return "/bitrix/sub/"
	default:
		return "/bitrix/subws/"
	}
}

// formQuery is the query that asks for a form.
func formQuery(form Form) string {
	switch form {
	case Protobuf:
		return "&binaryMode=true"
	case JSONRPC:
		return "&jsonRpc=true"
	case JSON:
		return "&format=json"
	default:
		return ""
	}
}

// appendRequest appends the request with which s subscribes, after its position if it has one.
func (s *subscriber) appendRequest(b []byte) []byte {
	path := s.target.path
	if path == "" {
		path = usualPath(s.run.Peer, s.form, s.transport)
	}
	add := func(query string) {
		if strings.Contains(path, "?") {
			path += "&" + query
		} else {
			path += "?" + query
		}
	}
	fields := ""
	switch {
	case s.run.Peer == Centrifugo: // the subscription follows in frames
	case !s.target.template:
		add("CHANNEL_ID=" + s.channels + formQuery(s.form))
		if s.run.ClientID != "" {
			add("clientId=" + s.run.ClientID)
		}
		if s.position != "" {
			add("mid=" + s.position)
		}
	default:
		path = strings.ReplaceAll(path, channelPlace, s.channels)
		fields = s.nchanFields(add)
	}
	b = append(b, "GET "+path+" HTTP/1.1\r\nHost: "+s.target.host+"\r\n"...)
	switch {
	case s.form == SSE:
		fields += "Accept: text/event-stream\r\n"
	case s.transport == WebSocket:
		fields += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + handshakeKey + "\r\n"
	}
	return append(append(b, fields...), "\r\n"...)
}

// nchanFields returns the additional header fields for nchan. Each transport has another way to
// send the position.
func (s *subscriber) nchanFields(add func(query string)) string {
	if s.transport == Poll {
		since, tag, ok := strings.Cut(s.position, "|")
		if !ok {
			return ""
		}
		return "If-Modified-Since: " + since + "\r\nIf-None-Match: " + tag + "\r\n"
	}
	if s.position != "" {
		add("last_event_id=" + s.position)
	}
	if s.keeps && s.form != SSE {
		return "Sec-WebSocket-Protocol: ws+meta.nchan\r\n" // which puts an id before every message
	}
	return ""
}

// note takes the position from a payload of messages, if there is one in it.
func (s *subscriber) note(payload []byte) {
	position := ""
	switch {
	case s.run.Peer == Centrifugo:
		position = member(payload, `"offset":`)
	case s.form == SSE:
		position = lastLine(payload, "id: ")
	case s.target.template:
		position = lastLine(payload, "id: ")
	case s.form == Protobuf:
		position = lastBinaryID(payload)
	default:
		position = lastTextID(payload)
	}
	if position != "" {
		s.position = position
	}
}

// notePoll takes the position from the head of an answer to a poll, whose body has been looked at.
func (s *subscriber) notePoll(h head) {
	if s.target.template {
		if since := h.field("Last-Modified"); since != "" {
			s.position = since + "|" + h.field("Etag")
		}
		return
	}
	if named := h.field("Last-Message-Id"); h.status == 304 && named != "" {
		s.position = named
	}
}

// lastLine returns the rest of the last line that begins with a word.
func lastLine(b []byte, word string) string {
	for len(b) > 0 {
		i := bytes.LastIndex(b, []byte(word))
		if i < 0 {
			return ""
		}
		if i == 0 || b[i-1] == '\n' {
			line, _, _ := bytes.Cut(b[i+len(word):], []byte("\n"))
			return string(bytes.TrimSpace(line))
		}
		b = b[:i]
	}
	return ""
}

// idSize is the length of a message id in text.
const idSize = 26

// lastTextID returns the id of the last record. Bodies have no member mid.
func lastTextID(b []byte) string {
	const member = `"mid":"`
	i := bytes.LastIndex(b, []byte(member))
	if i < 0 || len(b) < i+len(member)+idSize {
		return ""
	}
	return string(b[i+len(member):][:idSize])
}

// lastBinaryID returns the id of the last message of a ResponseBatch: responses (1),
// outgoingMessages (1), messages (1), id (1). All of these happen to have the same number.
func lastBinaryID(b []byte) string {
	for range 3 {
		if b = lastField1(b); b == nil {
			return ""
		}
	}
	return hex.EncodeToString(lastField1(b))
}

// lastField1 returns the last field of number 1 of a message, if it has bytes.
func lastField1(b []byte) (last []byte) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return nil
		}
		if number == 1 && kind == protowire.BytesType {
			last, _ = protowire.ConsumeBytes(b[n:])
		}
		b = b[n+size:]
	}
	return last
}
