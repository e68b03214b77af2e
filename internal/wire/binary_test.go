package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/frame"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire"
	"pushgate/internal/wire/pb"
)

// fromVector parses the JSON form of a batch into b.
func fromVector(t *testing.T, text json.RawMessage, b protobuf.Message) {
	t.Helper()
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	_, request := b.(*pb.RequestBatch)
	text, err := json.Marshal(withBytes(tree, request))
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, b); err != nil {
		t.Fatal(err)
	}
}

// withBytes converts the vectors' hexadecimal digits, and the two strings that are bytes in the
// schema, to the base64 of protojson.
func withBytes(tree any, request bool) any {
	switch tree := tree.(type) {
	case []any:
		for i := range tree {
			tree[i] = withBytes(tree[i], request)
		}
	case map[string]any:
		for name, value := range tree {
			text, isText := value.(string)
			if bare, ok := strings.CutSuffix(name, "_hex"); ok {
				raw, _ := hex.DecodeString(text)
				delete(tree, name)
				tree[bare] = base64.StdEncoding.EncodeToString(raw)
			} else if isText && request && (name == "body" || name == "type") {
				tree[name] = base64.StdEncoding.EncodeToString([]byte(text))
			} else {
				tree[name] = withBytes(value, request)
			}
		}
	}
	return tree
}

// TestProtobufVectors compares the schema with the vectors, and the hand-written encoder with both.
func TestProtobufVectors(t *testing.T) {
	encoded := 0
	for _, c := range vectors.Load(t).Protobuf.Cases {
		t.Run(c.Name, func(t *testing.T) {
			raw, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			var want, got protobuf.Message = new(pb.RequestBatch), new(pb.RequestBatch)
			if c.Message == "ResponseBatch" {
				want, got = new(pb.ResponseBatch), new(pb.ResponseBatch)
			}
			fromVector(t, c.JSON, want)
			if err := protobuf.Unmarshal(raw, got); err != nil {
				t.Fatal(err)
			}
			if diff := testkit.Diff(want, got); diff != "" {
				t.Errorf("decoded:\n%s", diff)
			}
			if again, err := protobuf.Marshal(want); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("encoded %x, want %x", again, raw)
			}
			batch, ok := got.(*pb.ResponseBatch)
			if !ok {
				return
			}
			var joined []byte
			for _, response := range batch.GetResponses() {
				for _, m := range response.GetOutgoingMessages().GetMessages() {
					encoded++
					joined = append(joined, wire.BinaryFrame(fromPB(t, m)).Payload()...)
				}
			}
			var again pb.ResponseBatch
			if err := protobuf.Unmarshal(joined, &again); err != nil {
				t.Fatal(err)
			}
			// We send a batch of one response with many messages as many responses with one each.
			if diff := testkit.Diff(outgoing(batch), outgoing(&again)); diff != "" {
				t.Errorf("by hand:\n%s", diff)
			}
			if len(batch.GetResponses()) == len(outgoing(batch)) && len(joined) > 0 && !bytes.Equal(joined, raw) {
				t.Errorf("by hand %x, want %x", joined, raw)
			}
		})
	}
	if encoded < 5 {
		t.Errorf("%d messages encoded by hand", encoded)
	}
}

func outgoing(b *pb.ResponseBatch) (all []*pb.OutgoingMessage) {
	for _, response := range b.GetResponses() {
		all = append(all, response.GetOutgoingMessages().GetMessages()...)
	}
	return all
}

// fromPB returns the message that would be sent as o.
func fromPB(t *testing.T, o *pb.OutgoingMessage) *proto.Message {
	t.Helper()
	id, err := proto.ParseID(hex.EncodeToString(o.GetId()))
	if err != nil {
		t.Fatal(err)
	}
	m := &proto.Message{
		ID: id, Body: []byte(o.GetBody()), TTL: time.Duration(o.GetExpiry()) * time.Second,
		Created: time.Unix(int64(o.GetCreated()), 999_999_000), Sender: proto.Sender{Type: proto.SenderType(o.GetSender().GetType())},
	}
	if raw := o.GetSender().GetId(); len(raw) == 16 {
		m.Sender.ID = channel.FromBytes([16]byte(raw))
	}
	return m
}

// toPB returns what the frame of m must contain.
func toPB(m *proto.Message) *pb.ResponseBatch {
	packed, _ := hex.DecodeString(m.ID.String())
	sender := &pb.Sender{Type: pb.SenderType(m.Sender.Type)}
	if raw, ok := m.Sender.ID.Bytes(); ok {
		sender.Id = raw[:]
	}
	seconds := uint32(m.TTL / time.Second)
	if m.TTL%time.Second > 0 {
		seconds++
	}
	return &pb.ResponseBatch{Responses: []*pb.Response{{Command: &pb.Response_OutgoingMessages{
		OutgoingMessages: &pb.OutgoingMessagesResponse{Messages: []*pb.OutgoingMessage{{
			Id: packed, Body: string(m.Body), Expiry: seconds, Created: uint32(m.Created.Unix()), Sender: sender,
		}}},
	}}}}
}

// TestBinaryIsWhatTheGeneratedCodeWrites tries the sizes at which the encoding of a length changes,
// and leaves out every field once.
func TestBinaryIsWhatTheGeneratedCodeWrites(t *testing.T) {
	old := testkit.ParseChannel("ABCdefGHIjklMNOpqrSTUvwxYZ012345")
	for _, size := range []int{0, 1, 40, 60, 70, 80, 100, 126, 127, 128, 200, 16300, 16383, 16384, 70000} {
		for _, sender := range []proto.Sender{{}, {Type: proto.SenderBackend}, {Type: proto.SenderClient, ID: testkit.Channel(7)}, {Type: proto.SenderClient, ID: old}} {
			for _, ttl := range []time.Duration{0, time.Millisecond, time.Second, time.Second + 1, proto.MaxTTL} {
				for _, created := range []time.Time{time.Unix(0, 0), time.Unix(1795226210, 5)} {
					m := message(strings.Repeat("x", size), 1)
					m.Sender, m.TTL, m.Created = sender, ttl, created
					want, err := protobuf.Marshal(toPB(m))
					if err != nil {
						t.Fatal(err)
					}
					f := wire.BinaryFrame(m)
					if !bytes.Equal(f.Payload(), want) {
						t.Errorf("size %d, sender %v, life %v: %x, want %x", size, sender.Type, ttl, f.Payload(), want)
					}
					if !bytes.Equal(f.WebSocket(), frame.Append(nil, frame.OpBinary, want)) {
						t.Errorf("size %d: not a binary frame", size)
					}
				}
			}
		}
	}
}

// TestSenderIsAlwaysThere: clients use the sender without a check, and lose the rest of the frame
// if there is none.
func TestSenderIsAlwaysThere(t *testing.T) {
	var batch pb.ResponseBatch
	if err := protobuf.Unmarshal(wire.BinaryFrame((&proto.Message{})).Payload(), &batch); err != nil {
		t.Fatal(err)
	}
	if m := outgoing(&batch)[0]; m.Sender == nil || len(m.GetId()) != 13 {
		t.Errorf("%v", m)
	}
}

func TestBinaryIsMadeOnce(t *testing.T) {
	m := message(`{"a":1}`, 1)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { wire.BinaryFrame(m) })
	}
	wg.Wait()
	if first, second := wire.BinaryFrame(m), wire.BinaryFrame(m); first != second {
		t.Error("framed twice")
	}
	if n := testing.AllocsPerRun(100, func() { wire.BinaryFrame(m) }); n != 0 {
		t.Errorf("a cached frame costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { wire.BinaryFrame(message(`{"a":1}`, 0)) }); n > 5 {
		t.Errorf("a message, its body, its cache, a frame and the frame's bytes cost %v allocations", n)
	}
}

// FuzzBinary: for any message, the frame is the same as the generated code's.
func FuzzBinary(f *testing.F) {
	f.Add([]byte(`{"a":1}`), uint64(7), int64(60_000), uint8(1), true)
	f.Add([]byte(nil), uint64(0), int64(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, body []byte, sequence uint64, ttl int64, sender uint8, id bool) {
		checked, _, err := proto.CheckBody(body)
		if err != nil {
			return
		}
		m := message(string(checked), 1)
		m.ID.Sequence = sequence % 1e16
		m.TTL = time.Duration(max(ttl, 0)%proto.MaxTTL.Milliseconds()) * time.Millisecond
		m.Sender.Type = proto.SenderType(sender % 3)
		if id {
			m.Sender.ID = testkit.Channel(sender)
		}
		want, err := protobuf.Marshal(toPB(m))
		if err != nil {
			t.Fatal(err)
		}
		if got := wire.BinaryFrame(m).Payload(); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
	})
}
