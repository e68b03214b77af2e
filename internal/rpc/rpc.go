// Package rpc parses the JSON-RPC 2.0 calls of version 5 with their params, and writes the replies.
package rpc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"pushgate/internal/proto"
)

// maxDepth is how deep arrays and objects may be nested. PHP writes no deeper ones, and any reader
// can decode this much.
const maxDepth = 512

// Error is the error of a call. Data holds the details, and is empty if there are none.
type Error struct {
	Code    int
	Message string
	Data    string
}

// Error returns the message, and the data if there is any.
func (e *Error) Error() string {
	if e.Data == "" {
		return e.Message
	}
	return e.Message + ": " + e.Data
}

// With returns a copy of e with details.
func (e *Error) With(data string) *Error { return &Error{e.Code, e.Message, data} }

// Is reports whether target is the same error, whatever the details are.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The errors of the specification, with its texts.
var (
	ErrParse          = &Error{Code: -32700, Message: "Parse error"}
	ErrInvalidRequest = &Error{Code: -32600, Message: "Invalid Request"}
	ErrMethodNotFound = &Error{Code: -32601, Message: "Method not found"}
	ErrInvalidParams  = &Error{Code: -32602, Message: "Invalid params"}
	ErrInternal       = &Error{Code: -32603, Message: "Internal error"}
)

// Call is one request.
type Call struct {
	// A number, a string or null, as it was written; nil if no reply is wanted.
	ID     json.RawMessage
	Method string
	Params json.RawMessage // an object or an array; nil if there are none
	// Set if this is not a valid call; of the other fields only ID counts then.
	Fault *Error
}

// Batch holds the calls of one text.
type Batch struct {
	Calls []Call
	list  bool // the calls were in an array
}

// Reply is the outcome of a call: an error, or else a result.
type Reply struct {
	Result json.RawMessage // nil stands for an empty object
	Fault  *Error
}

// Decode parses the calls of a text, at most limit. It ignores replies, which clients send although
// nothing was asked, and the text null. So a batch may have no calls at all. An error is about the
// whole text; the answer to it is [Fault].
func Decode(text []byte, limit int) (Batch, *Error) {
	text = bytes.TrimSpace(text)
	switch {
	case !json.Valid(text):
		return Batch{}, ErrParse
	case depth(text) > maxDepth:
		return Batch{}, ErrInvalidRequest.With("nested too deep")
	case string(text) == "null":
		return Batch{}, nil
	case text[0] != '[':
		return Batch{Calls: appendCall(nil, text)}, nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return Batch{}, ErrParse
	}
	switch n := len(elements); {
	case n == 0:
		return Batch{}, ErrInvalidRequest
	case n > limit:
		return Batch{}, ErrInvalidRequest.With("more than " + strconv.Itoa(limit) + " calls")
	}
	b := Batch{list: true}
	for _, element := range elements {
		b.Calls = appendCall(b.Calls, element)
	}
	return b, nil
}

// appendCall parses one element, and appends it unless it is a reply.
func appendCall(calls []Call, text json.RawMessage) []Call {
	o, ok := proto.ParseObject(text)
	method := o.Get("method")
	if ok && method == nil && (o.Get("result") != nil || o.Get("error") != nil) {
		return calls
	}
	c := Call{ID: o.Get("id"), Method: o.String("method"), Params: o.Get("params")}
	switch {
	case !ok, o.String("jsonrpc") != "2.0", len(method) == 0 || method[0] != '"', c.ID != nil && !isID(c.ID), c.Params != nil && !isStructured(c.Params):
		c = Call{ID: c.ID, Fault: ErrInvalidRequest}
		if c.ID == nil || !isID(c.ID) {
			c.ID = null
		}
	}
	return append(calls, c)
}

var null = json.RawMessage("null")

func isID(value json.RawMessage) bool {
	switch value[0] {
	case '{', '[', 't', 'f':
		return false
	default:
		return true
	}
}

func isStructured(value json.RawMessage) bool { return value[0] == '{' || value[0] == '[' }

// depth returns how deep arrays and objects are nested in a valid text.
func depth(text []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}

// Append appends the replies to the calls of b, which are in the same order. It leaves out the
// replies to calls without an id. If none is left, it appends nothing.
func (b Batch) Append(text []byte, replies []Reply) []byte {
	return b.append(text, replies, func(c Call) bool { return c.ID != nil })
}

// AppendAll appends the replies to all calls of b, with the id null where a call has none. PHP
// expects a reply to every call, although by the specification one without an id gets none.
func (b Batch) AppendAll(text []byte, replies []Reply) []byte {
	if len(b.Calls) == 0 {
		return append(text, "[]"...)
	}
	return b.append(text, replies, func(Call) bool { return true })
}

func (b Batch) append(text []byte, replies []Reply, wanted func(Call) bool) []byte {
	if !slices.ContainsFunc(b.Calls, wanted) {
		return text
	}
	separator := byte('[')
	for i, call := range b.Calls {
		if !wanted(call) {
			continue
		}
		if b.list {
			text = append(text, separator)
			separator = ','
		}
		text = appendReply(text, call.ID, replies[i])
	}
	if b.list {
		text = append(text, ']')
	}
	return text
}

// Fault returns the whole answer to a text that could not be parsed.
func Fault(e *Error) []byte { return appendReply(nil, null, Reply{Fault: e}) }

func appendReply(text []byte, id json.RawMessage, r Reply) []byte {
	if id == nil {
		id = null
	}
	text = append(append(text, `{"jsonrpc":"2.0","id":`...), id...)
	switch {
	case r.Fault != nil:
		text = strconv.AppendInt(append(text, `,"error":{"code":`...), int64(r.Fault.Code), 10)
		text = appendString(append(text, `,"message":`...), r.Fault.Message)
		if r.Fault.Data != "" {
			text = appendString(append(text, `,"data":`...), r.Fault.Data)
		}
		text = append(text, '}')
	case r.Result == nil:
		text = append(text, `,"result":{}`...)
	default:
		text = append(append(text, `,"result":`...), r.Result...)
	}
	return append(text, '}')
}

func appendString(text []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always encodes
	return append(text, quoted...)
}
