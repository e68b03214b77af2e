package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/vectors"
	"pushgate/internal/wire"
)

// TestRPCVector: the frame is the vector's request, but without its id, so that no client answers.
func TestRPCVector(t *testing.T) {
	for _, c := range vectors.Load(t).JSONRPC {
		if c.Direction != "server->client" || c.Frame == "ping" {
			continue
		}
		want, ok := proto.ParseObject([]byte(c.Frame))
		if !ok {
			t.Fatal(c.Frame)
		}
		want.Delete("id")
		params, _ := proto.ParseObject(want.Get("params"))
		id, err := proto.ParseID(params.String("mid"))
		if err != nil {
			t.Fatal(err)
		}
		m := &proto.Message{ID: id, Body: params.Get("body"), Receivers: []channel.ID{channel.ForUser(1)}}
		if got := string(wire.RPCFrame(m, 1).Payload()); got != string(want.Append(nil)) {
			t.Errorf("frame\n%s, want\n%s", got, want.Append(nil))
		}
		return
	}
	t.Fatal("no vector")
}

func TestRPC(t *testing.T) {
	m := message(`{"params":{}}`, 1)
	m.UserParams = []proto.UserParams{{User: 5, Params: []byte(`{"p":1}`)}, {User: 7, Params: []byte(`{"q":1}`)}}
	if got := string(wire.RPCFrame(m, 5).Payload()); !strings.HasSuffix(got, `"body":{"params":{}},"sender":{"type":2},"user_params":{"p":1}}}`) {
		t.Error(got)
	}
	for _, user := range []int64{0, 4, 6, 8} {
		if got := string(wire.RPCFrame(m, user).Payload()); !strings.HasSuffix(got, `"sender":{"type":2}}}`) {
			t.Errorf("user %d gets %s", user, got)
		}
	}
	for sender, want := range map[proto.Sender]string{
		{Type: proto.SenderBackend}:                                                `{"type":2}`,
		{Type: proto.SenderClient}:                                                 `{"type":1}`,
		{Type: proto.SenderClient, ID: channel.ForUser(5)}:                         `{"type":1,"id":"5"}`,
		{Type: proto.SenderClient, ID: channel.FromBytes([16]byte{0xab, 15: 0x1})}: `{"type":1,"id":"ab000000000000000000000000000001"}`,
	} {
		m := message(`{}`, 1)
		m.Sender = sender
		if got := string(wire.RPCFrame(m, 0).Payload()); !strings.HasSuffix(got, `"sender":`+want+"}}") {
			t.Error(got)
		}
	}
	if wire.RPCFrame(m, 6) != wire.RPCFrame(m, 0) {
		t.Error("framed twice for those who have no params of their own")
	}
	if got := string(wire.RPCFrame(m, 7).Payload()); !strings.Contains(got, `"user_params":{"q":1}`) {
		t.Errorf("user 7 gets what others get: %s", got)
	}
	for body, want := range map[string]string{
		"plain \"text\"": `{"module_id":"","command":"","params":{},"text":"plain \"text\""}`,
		`[1]`:            `{"module_id":"","command":"","params":{},"text":[1]}`,
		`{"a":"<"}`:      `{"a":"<"}`,
	} {
		m := message(body, 1)
		if got := string(wire.RPCFrame(m, 0).Payload()); !strings.Contains(got, `"body":`+want+`,"sender"`) || !json.Valid([]byte(got)) {
			t.Errorf("body %s: %s", body, got)
		}
	}
}

func TestJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"params":{},"extra":{"a":1}}`: `"text":{"params":{},"extra":{"a":1}},"extra":{"a":1}}]`,
		`{"extra":[]}`:                  `"text":{"extra":[]},"extra":{}}]`,
		`{"Extra":{"a":1}}`:             `"text":{"Extra":{"a":1}},"extra":{}}]`,
		`[1]`:                           `"text":[1],"extra":{}}]`,
		"no \"JSON\"\n<":                `"text":"no \"JSON\"\n<","extra":{}}]`,
	} {
		m := message(body, 2)
		got := string(wire.JSONFrame(m, 1).Payload())
		head := strings.TrimPrefix(string(wire.TextFrame(m, 1).Payload()), "#!NGINXNMS!#")
		head, _, _ = strings.Cut(head, `"text":`)
		if got != "["+head+want || !json.Valid([]byte(got)) {
			t.Errorf("body %s:\n%s, want\n%s", body, got, "["+head+want)
		}
		if again := wire.JSONFrame(m, 1); again != wire.JSONFrame(m, 1) || again == wire.JSONFrame(m, 0) {
			t.Error("not cached for each receiver")
		}
		if event := encode(wire.Events, m.Receivers[1], m); event != "id: "+m.ID.String()+"\ndata: "+got[1:len(got)-1]+"\n\n" {
			t.Errorf("event %q", event)
		}
	}
}

func TestReservedChannelsAreNotShown(t *testing.T) {
	m := message(`{}`, 0)
	m.Receivers = []channel.ID{channel.ForUser(5)}
	for _, got := range []string{string(wire.TextFrame(m, 0).Payload()), string(wire.JSONFrame(m, 0).Payload())} {
		if !strings.Contains(got, `"channel":"-"`) {
			t.Error(got)
		}
	}
}

func TestArrays(t *testing.T) {
	a, b := message(`{"a":1}`, 1), message(`{"b":1}`, 1)
	for _, c := range []*wire.Codec{wire.JSON, wire.RPC} {
		var all, one []json.RawMessage
		if err := json.Unmarshal([]byte(encode(c, a.Receivers[0], a, b)), &all); err != nil || len(all) != 2 {
			t.Fatalf("%s: %s, %v", c.Name, all, err)
		}
		for i, m := range []*proto.Message{a, b} {
			alone := encode(c, m.Receivers[0], m)
			if json.Unmarshal([]byte(alone), &one) == nil {
				alone = string(one[0])
			}
			if string(all[i]) != alone {
				t.Errorf("%s: %s in an array, %s alone", c.Name, all[i], alone)
			}
		}
	}
}

// encode returns the payload of one packet of messages for a reader of a channel.
func encode(c *wire.Codec, id channel.ID, messages ...*proto.Message) string {
	var pool wire.Pool
	e := pool.Encoder()
	defer e.Release()
	out, _ := e.Encode(&wire.Reader{Codec: c, Channels: []channel.ID{id}}, messages, wire.PacketBytes)
	defer pool.Release(out)
	return string(out.Payload())
}
