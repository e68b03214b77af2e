package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/coder/websocket"
)

// JSON is the dialect for an operator's own readers: an array of records.
type JSON struct{}

// Query asks for the dialect.
func (JSON) Query(query url.Values) { query.Set("format", "json") }

// Frame returns the type of its WebSocket messages.
func (JSON) Frame() websocket.MessageType { return websocket.MessageText }

// Records decodes an array.
func (JSON) Records(payload []byte) ([]Record, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(payload, &elements); err != nil {
		return nil, fmt.Errorf("%q: %w", payload, err)
	}
	if len(elements) == 0 {
		return nil, fmt.Errorf("no records in %q", payload)
	}
	records := make([]Record, len(elements))
	for i, element := range elements {
		var err error
		if records[i], err = jsonRecord(element); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// jsonRecord decodes one record, which is also the data of an event of a stream.
func jsonRecord(text []byte) (Record, error) {
	var fields struct {
		ID          uint64
		MID         string
		Channel     string
		Tag, Time   string
		Text, Extra json.RawMessage
	}
	if err := strictly(text, &fields); err != nil {
		return Record{}, err
	}
	var body struct{ Extra json.RawMessage }
	if len(fields.Text) > 0 && fields.Text[0] == '{' {
		if err := json.Unmarshal(fields.Text, &body); err != nil {
			return Record{}, fmt.Errorf("body %q: %w", fields.Text, err)
		}
	}
	if len(body.Extra) == 0 || body.Extra[0] != '{' {
		body.Extra = json.RawMessage("{}")
	}
	if !bytes.Equal(fields.Extra, body.Extra) {
		return Record{}, fmt.Errorf("extra %q beside a body with %q", fields.Extra, body.Extra)
	}
	return Record{MID: fields.MID, Channel: fields.Channel, Body: string(fields.Text)}, nil
}

// RPC is the dialect of the fifth generation.
type RPC struct{}

// Query asks for the dialect.
func (RPC) Query(query url.Values) { query.Set("jsonRpc", "true") }

// Frame returns the type of its WebSocket messages.
func (RPC) Frame() websocket.MessageType { return websocket.MessageText }

// Records decodes a request or an array of them. A request with an id would need an answer, and is
// not a message.
func (RPC) Records(payload []byte) ([]Record, error) {
	requests := []json.RawMessage{payload}
	if len(payload) > 0 && payload[0] == '[' {
		if err := json.Unmarshal(payload, &requests); err != nil {
			return nil, fmt.Errorf("%q: %w", payload, err)
		}
	}
	var records []Record
	for _, request := range requests {
		var r struct {
			JSONRPC, Method string
			Params          struct {
				MID    string
				Body   json.RawMessage
				Sender struct {
					Type int
					ID   string
				}
				UserParams json.RawMessage `json:"user_params"`
			}
		}
		if err := strictly(request, &r); err != nil {
			return nil, err
		}
		if r.JSONRPC != "2.0" || r.Method != "incoming.message" || r.Params.Sender.Type == 0 {
			return nil, fmt.Errorf("no message: %q", request)
		}
		records = append(records, Record{MID: r.Params.MID, Body: string(r.Params.Body)})
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no requests in %q", payload)
	}
	return records, nil
}

// Heartbeat implements [Talker].
func (RPC) Heartbeat(payload []byte) (answer string, ok bool) {
	return "pong", string(payload) == "ping"
}

// Receipt implements [Talker].
func (RPC) Receipt(r Record) string { return "mack:" + r.MID }

// strictly decodes an object, whose members must all be in v.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return nil
}
