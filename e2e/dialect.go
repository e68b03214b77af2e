package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"

	"github.com/coder/websocket"
)

// Record is one message as a client receives it.
type Record struct {
	MID     string
	Channel string // empty in dialects that do not say
	Body    string
}

// Dialect is a wire form as a client knows it: how to request it, and how to decode an answer or a
// frame. An answer without records is an error, because the known clients lose their position by
// it.
type Dialect interface {
	Query(query url.Values)
	Frame() websocket.MessageType
	Records(payload []byte) ([]Record, error)
}

// Talker is a dialect in which the server sends more than messages on a WebSocket, and clients
// answer.
type Talker interface {
	// Heartbeat reports whether a frame is one, and returns the answer to it.
	Heartbeat(payload []byte) (answer string, ok bool)
	// Receipt returns a client's acknowledgement of a message.
	Receipt(r Record) string
}

// Text is the dialect of the first generations.
type Text struct{}

// Query returns nothing: text is the default.
func (Text) Query(url.Values) {}

// Frame returns the type of its WebSocket messages.
func (Text) Frame() websocket.MessageType { return websocket.MessageText }

// textRecord is the clients' expression: its dot matches none of JavaScript's line terminators.
var textRecord = regexp.MustCompile("#!NGINXNMS!#([^\n\r\u2028\u2029]*?)#!NGINXNME!#")

// Records splits the payload as the clients do. It also checks what they ignore: there must be
// nothing between records.
func (Text) Records(payload []byte) ([]Record, error) {
	var records []Record
	length := 0
	for _, match := range textRecord.FindAllSubmatch(payload, -1) {
		var fields struct {
			ID        uint64
			MID       string
			Channel   string
			Tag, Time string
			Text      json.RawMessage
		}
		if err := json.Unmarshal(match[1], &fields); err != nil {
			return nil, fmt.Errorf("record %q: %w", match[1], err)
		}
		records = append(records, Record{MID: fields.MID, Channel: fields.Channel, Body: string(fields.Text)})
		length += len(match[0])
	}
	if length == 0 || length != len(payload) {
		return nil, fmt.Errorf("%d records and %d bytes beside them", len(records), len(payload)-length)
	}
	return records, nil
}
