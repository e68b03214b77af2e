package rpc_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pushgate/internal/rpc"
	"pushgate/internal/vectors"
)

const limit = 100

// echo replies to each call with its params, and does not know the method nope.
func echo(b rpc.Batch) []rpc.Reply {
	replies := make([]rpc.Reply, len(b.Calls))
	for i, call := range b.Calls {
		switch {
		case call.Fault != nil:
			replies[i].Fault = call.Fault
		case call.Method == "nope":
			replies[i].Fault = rpc.ErrMethodNotFound
		default:
			replies[i].Result = call.Params
		}
	}
	return replies
}

func TestReplies(t *testing.T) {
	const invalid = `"error":{"code":-32600,"message":"Invalid Request"}}`
	for _, c := range []struct{ text, want, all string }{
		{`{"jsonrpc":"2.0","method":"m","params":{"a":1},"id":1}`, `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`, ""},
		{` {"jsonrpc":"2.0","method":"m","params":[],"id":"x\u0079"}` + "\n", `{"jsonrpc":"2.0","id":"x\u0079","result":[]}`, ""},
		{`{"jsonrpc":"2.0","method":"m","id":-1.5e3}`, `{"jsonrpc":"2.0","id":-1.5e3,"result":{}}`, ""},
		{`{"jsonrpc":"2.0","method":"m","id":null}`, `{"jsonrpc":"2.0","id":null,"result":{}}`, ""},
		{`{"jsonrpc":"2.0","method":"m","params":{}}`, "", `{"jsonrpc":"2.0","id":null,"result":{}}`},
		{`{"jsonrpc":"2.0","method":"nope"}`, "", `{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}`},
		{`[{"jsonrpc":"2.0","method":"m","id":1}]`, `[{"jsonrpc":"2.0","id":1,"result":{}}]`, ""},
		{`[{"jsonrpc":"2.0","method":"m"},{"jsonrpc":"2.0","method":"m","id":2},7,{"jsonrpc":"2.0","id":1,"result":{}}]`,
			`[{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":null,` + invalid + `]`,
			`[{"jsonrpc":"2.0","id":null,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":null,` + invalid + `]`},
		{`[{"jsonrpc":"2.0","method":"m"},{"jsonrpc":"2.0","method":"m"}]`, "",
			`[{"jsonrpc":"2.0","id":null,"result":{}},{"jsonrpc":"2.0","id":null,"result":{}}]`},
		{`null`, "", "[]"},
		{`{"jsonrpc":"2.0","id":3,"result":{}}`, "", "[]"},
		{`{"jsonrpc":"2.0","result":{}}`, "", "[]"},
		{`{"jsonrpc":"2.0","id":null,"error":{"code":-32601}}`, "", "[]"},
		{`[{"jsonrpc":"2.0","id":3,"result":{}}]`, "", "[]"},
		{`{"jsonrpc":"2.0","id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"method":"m","id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"jsonrpc":2.0,"method":"m","id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"jsonrpc":"2.0","method":5,"id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"jsonrpc":"2.0","Method":"m","id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"jsonrpc":"2.0","method":"m","params":"p","id":7}`, `{"jsonrpc":"2.0","id":7,` + invalid, ""},
		{`{"jsonrpc":"2.0","method":"m","id":{}}`, `{"jsonrpc":"2.0","id":null,` + invalid, ""},
		{`{"jsonrpc":"2.0","method":"m","id":true}`, `{"jsonrpc":"2.0","id":null,` + invalid, ""},
		{`5`, `{"jsonrpc":"2.0","id":null,` + invalid, ""},
	} {
		b, fault := rpc.Decode([]byte(c.text), limit)
		if fault != nil {
			t.Errorf("%s: %v", c.text, fault)
			continue
		}
		if got := string(b.Append([]byte("x"), echo(b))); got != "x"+c.want {
			t.Errorf("%s:\n%s, want\n%s", c.text, got, c.want)
		}
		if c.all == "" {
			c.all = c.want
		}
		if got := string(b.AppendAll([]byte("x"), echo(b))); got != "x"+c.all {
			t.Errorf("%s, everything answered:\n%s, want\n%s", c.text, got, c.all)
		}
	}
}

func TestRefusals(t *testing.T) {
	list := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","method":"m"},`, n), ",") + "]"
	}
	nested := func(n int) string {
		return `{"jsonrpc":"2.0","method":"m","params":` + strings.Repeat("[", n) + `"[\"["` + strings.Repeat("]", n) + "}"
	}
	for text, want := range map[string]*rpc.Error{
		"": rpc.ErrParse, "{": rpc.ErrParse, "ping": rpc.ErrParse, "{}{}": rpc.ErrParse, "[]": rpc.ErrInvalidRequest,
		list(limit): nil, list(limit + 1): rpc.ErrInvalidRequest,
		nested(511): nil, nested(512): rpc.ErrInvalidRequest,
	} {
		_, fault := rpc.Decode([]byte(text), limit)
		if (fault == nil) != (want == nil) || want != nil && !errors.Is(fault, want) {
			t.Errorf("%.40s: %v, want %v", text, fault, want)
		}
	}
	if got := string(rpc.Fault(rpc.ErrParse)); got != `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}` {
		t.Error(got)
	}
	if got := string(rpc.Fault(rpc.ErrInvalidParams.With(`a "b"`))); got != `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":"a \"b\""}}` {
		t.Error(got)
	}
}

// TestVectors: the requests of the vectors, and the form of their replies.
func TestVectors(t *testing.T) {
	tested := 0
	for _, c := range vectors.Load(t).JSONRPC {
		if c.Direction != "client->server" {
			continue
		}
		tested++
		want, _, _ := strings.Cut(c.Reply, " (")
		var reply struct {
			Result json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal([]byte(want), &reply); err != nil {
			t.Fatal(err)
		}
		b, fault := rpc.Decode([]byte(c.Frame), limit)
		if fault != nil || len(b.Calls) != 1 {
			t.Fatal(b, fault)
		}
		replies := echo(b)
		if reply.Result != nil {
			replies[0].Result = reply.Result
		}
		if got := string(b.Append(nil, replies)); got != want {
			t.Errorf("%s:\n%s, want\n%s", c.Frame, got, want)
		}
	}
	if tested == 0 {
		t.Error("no vectors")
	}
}

// FuzzDecode: no input panics, there are no more calls than allowed, and every answer is JSON-RPC
// with one reply to each call that has an id.
func FuzzDecode(f *testing.F) {
	for _, c := range vectors.Load(f).JSONRPC {
		f.Add(c.Frame)
	}
	f.Add(`[{"jsonrpc":"2.0","method":"m","id":1},7,null,{"id":2}]`)
	f.Fuzz(func(t *testing.T, text string) {
		b, fault := rpc.Decode([]byte(text), 3)
		if fault != nil {
			if !json.Valid(rpc.Fault(fault)) || len(b.Calls) > 0 {
				t.Errorf("%v", fault)
			}
			return
		}
		asked := 0
		for _, call := range b.Calls {
			if call.ID != nil {
				asked++
			}
			if call.Params != nil && !json.Valid(call.Params) {
				t.Errorf("params %q", call.Params)
			}
		}
		if len(b.Calls) > 3 {
			t.Errorf("%d calls", len(b.Calls))
		}
		for answer, want := range map[string]int{string(b.Append(nil, echo(b))): asked, string(b.AppendAll(nil, echo(b))): len(b.Calls)} {
			if answer == "" || answer == "[]" {
				if want != 0 {
					t.Errorf("nothing, want %d replies", want)
				}
				continue
			}
			var replies []map[string]any
			if answer[0] != '[' {
				answer = "[" + answer + "]"
			}
			if err := json.Unmarshal([]byte(answer), &replies); err != nil || len(replies) != want {
				t.Errorf("%s: %v, want %d replies", answer, err, want)
			}
			for _, r := range replies {
				_, result := r["result"]
				_, fault := r["error"]
				if r["jsonrpc"] != "2.0" || result == fault {
					t.Errorf("%v", r)
				}
			}
		}
	})
}
