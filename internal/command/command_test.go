package command

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire/pb"
)

var (
	signer = testkit.Signer("a key of the tests")
	mine   = id(100) // the public id of the client of the tests
)

const hello = `{"module_id":"im","command":"hello","params":{"a":1}}`

func TestVectors(t *testing.T) {
	v := vectors.Load(t)
	key := testkit.Signer(v.Parsing.Generation2.Key)
	cases := 0
	for _, c := range v.Protobuf.Cases {
		if c.Message != "RequestBatch" {
			continue
		}
		cases++
		t.Run(c.Name, func(t *testing.T) {
			data, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			f := &fake{}
			x := New(Config{Signer: key}, f, f)
			if strings.Contains(c.Name, "untrusted") {
				_, err = x.Client(t.Context(), mine, data)
			} else {
				_, err = x.Portal(t.Context(), data)
			}
			got := ""
			var refusal *proto.Error
			if errors.As(err, &refusal) {
				got = "error " + strings.Replace(refusal.Text, ":", "", 1)
			}
			if got != c.Expected {
				t.Errorf("%q, want %q (%v)", got, c.Expected, err)
			}
			if strings.HasPrefix(c.Name, "portal publishes") {
				m := f.got[0]
				if m.Type != "im_message" || m.TTL != 24*time.Hour || len(m.Receivers) != 2 || m.Sender.Type != proto.SenderBackend {
					t.Errorf("%+v", m)
				}
			}
		})
	}
	if cases < 8 {
		t.Errorf("%d cases", cases)
	}
}

// TestRefusals tests every refusal, and that each comes before those that the original checks
// later. A refused batch publishes nothing, not even what comes before the fault.
func TestRefusals(t *testing.T) {
	good := publish(incoming(hello, public(1)))
	forged := &pb.Receiver{Id: raw(1), Signature: signer.SignPublic(id(2))}
	short := &pb.Receiver{Id: raw(1)[:15], IsPrivate: true}
	shortPublic := &pb.Receiver{Id: raw(1)[:15], Signature: signer.SignPublic(id(1))}
	for _, c := range []struct {
		name           string
		requests       []*pb.Request
		client, portal *proto.Error
	}{
		{"nothing", nil, proto.ErrRequestData, proto.ErrRequestData},
		{"no command", []*pb.Request{good, {}}, proto.ErrRequestData, proto.ErrRequestData},
		{"no command before a forbidden one", []*pb.Request{register(), {}}, proto.ErrRequestData, proto.ErrRequestData},
		{"registration", []*pb.Request{good, register()}, proto.ErrNotAllowed, proto.ErrWrongCommand},
		{"registration before too many", []*pb.Request{publish(many(101, incoming(hello, public(1)))...), register()}, proto.ErrNotAllowed, proto.ErrWrongCommand},
		{"server statistics", []*pb.Request{good, serverStats()}, proto.ErrNotAllowed, nil},
		{"no messages", []*pb.Request{publish()}, proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"too many messages", []*pb.Request{publish(many(101, incoming(hello, public(1)))...)}, proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"too many in two requests", many(2, publish(many(51, incoming(hello, public(1)))...)), proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"too many requests", many(101, ask(public(1))), proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"too many before no receivers", []*pb.Request{publish(many(101, incoming(hello))...)}, proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"as many as may be", []*pb.Request{publish(many(100, incoming(hello, many(100, public(1))...))...)}, nil, nil},
		{"as many questions as may be", many(100, ask(many(100, public(1))...)), nil, nil},
		{"no receivers", []*pb.Request{good, publish(incoming(hello))}, proto.ErrNoChannels, proto.ErrNoChannels},
		{"no channels", []*pb.Request{ask()}, proto.ErrNoChannels, proto.ErrNoChannels},
		{"too many receivers", []*pb.Request{publish(incoming(hello, many(101, public(1))...))}, proto.ErrTooManyChannels, proto.ErrTooManyChannels},
		{"too many channels", []*pb.Request{ask(many(101, public(1))...)}, proto.ErrTooManyChannels, proto.ErrTooManyChannels},
		{"too many before a private one", []*pb.Request{ask(many(101, private(1))...)}, proto.ErrTooManyChannels, proto.ErrTooManyChannels},
		{"more of everything than any batch may hold", []*pb.Request{publish(incoming(hello, many(40000, public(1))...))}, proto.ErrTooManyMessages, proto.ErrTooManyMessages},
		{"a short id", []*pb.Request{good, publish(incoming(hello, short))}, proto.ErrPrivateChannel, proto.ErrInvalidChannel},
		{"a short public id", []*pb.Request{good, ask(shortPublic)}, proto.ErrChannelSignature, proto.ErrInvalidChannel},
		{"a private receiver", []*pb.Request{good, publish(incoming(hello, public(1), private(1)))}, proto.ErrPrivateChannel, nil},
		{"a question about a private channel", []*pb.Request{ask(private(1))}, proto.ErrPrivateChannel, nil},
		{"another's signature", []*pb.Request{good, publish(incoming(hello, public(1), forged))}, proto.ErrChannelSignature, nil},
		{"a question without a signature", []*pb.Request{ask(&pb.Receiver{Id: raw(1)})}, proto.ErrChannelSignature, nil},
		{"receivers before bodies", []*pb.Request{publish(incoming("no object", public(1)), incoming(hello))}, proto.ErrNoChannels, proto.ErrNoChannels},
		{"a body that is no object", []*pb.Request{good, publish(incoming("no object", public(1)))}, proto.ErrRequestData, nil},
		{"a body that could forge records", []*pb.Request{good, publish(incoming("#!NGINXNME!#", public(1)))}, proto.ErrRequestData, proto.ErrFrameMarker},
	} {
		data := batch(t, c.requests...)
		if len(data) > 1<<20 && c.name != "more of everything than any batch may hold" {
			t.Errorf("%s: %d bytes", c.name, len(data))
		}
		for _, side := range []struct {
			name string
			want *proto.Error
			do   func(x *Executor) ([]byte, error)
		}{
			{"client", c.client, func(x *Executor) ([]byte, error) { return x.Client(t.Context(), mine, data) }},
			{"portal", c.portal, func(x *Executor) ([]byte, error) { return x.Portal(t.Context(), data) }},
		} {
			f := &fake{}
			x := newExecutor(t, f)
			x.config.MaxPayload = 4 << 20
			reply, err := side.do(x)
			if side.want == nil {
				if err != nil {
					t.Errorf("%s, %s: %v", c.name, side.name, err)
				}
				continue
			}
			if err != side.want {
				t.Errorf("%s, %s: %v, want %v", c.name, side.name, err, side.want)
			}
			if f.calls != 0 || reply != nil {
				t.Errorf("%s, %s: refused, and %d messages are published", c.name, side.name, len(f.got))
			}
		}
	}
	x := newExecutor(t, &fake{})
	for name, data := range map[string][]byte{"damaged": {1, 2, 3, 4, 5}, "cut": batch(t, good)[:20], "too large": make([]byte, 1<<20+1)} {
		if _, err := x.Client(t.Context(), mine, data); err != proto.ErrRequestData {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := x.Client(t.Context(), channel.ID{}, []byte{1, 2, 3}); err != proto.ErrNoPublicID {
		t.Errorf("without an id of its own: %v, and before anything else", err)
	}
}

// TestAllRequestsOfABatch: all requests are carried out. The original carries out only the first
// one.
func TestAllRequestsOfABatch(t *testing.T) {
	f := &fake{stats: []proto.ProcessStats{{ID: "edge-1"}}}
	x := newExecutor(t, f)
	reply, err := x.Portal(t.Context(), batch(t, publish(incoming("1", private(1)), incoming("2", private(1))), ask(private(2), private(1), private(2)),
		publish(incoming("3", private(1), private(2), private(1))), serverStats()))
	if err != nil {
		t.Fatal(err)
	}
	if f.calls != 1 || len(f.got) != 3 || string(f.got[0].Body)+string(f.got[1].Body)+string(f.got[2].Body) != "123" {
		t.Errorf("%d calls, %v", f.calls, f.got)
	}
	if n := len(f.got[2].Receivers); n != 2 {
		t.Errorf("%d receivers, want each once", n)
	}
	var got pb.ResponseBatch
	if err := protobuf.Unmarshal(reply, &got); err != nil {
		t.Fatal(err)
	}
	want := &pb.ResponseBatch{Responses: []*pb.Response{
		{Command: &pb.Response_ChannelStats{ChannelStats: &pb.ChannelStatsResponse{Channels: []*pb.ChannelStats{
			{Id: raw(2), IsPrivate: true, IsOnline: true}, {Id: raw(1), IsPrivate: true}, {Id: raw(2), IsPrivate: true, IsOnline: true},
		}}}},
		{Command: &pb.Response_ServerStats{ServerStats: &pb.JsonResponse{
			Json: `[{"pid":0,"date":0,"processUniqueId":"edge-1","channels":0,` +
				`"limits":{"maxPayload":0,"maxConnPerChannel":0,"maxMessagesPerRequest":0,"maxChannelsPerRequest":0},` +
				`"clusterMode":false,"websockets":0,"pollings":0,"daily":{"requests":{},"messages":{}}}]`,
		}}},
	}}
	if diff := testkit.Diff(want, &got); diff != "" {
		t.Errorf("%s", diff)
	}
	f.stats = nil
	if reply, err := x.Portal(t.Context(), batch(t, serverStats())); err != nil || !bytes.Contains(reply, []byte("[]")) {
		t.Errorf("no processes: %q, %v", reply, err)
	}
}

func TestClientMayAskAboutPublicIDs(t *testing.T) {
	reply, err := newExecutor(t, &fake{}).Client(t.Context(), mine, batch(t, ask(public(1), public(2))))
	if err != nil {
		t.Fatal(err)
	}
	var got pb.ResponseBatch
	if err := protobuf.Unmarshal(reply, &got); err != nil {
		t.Fatal(err)
	}
	want := []*pb.ChannelStats{{Id: raw(1)}, {Id: raw(2), IsOnline: true}}
	if diff := testkit.Diff(want, got.GetResponses()[0].GetChannelStats().GetChannels()); diff != "" {
		t.Errorf("%s", diff)
	}
}

// TestOnlineIsTheVectorsAnswer checks the answer to a portal's GET for who is online.
func TestOnlineIsTheVectorsAnswer(t *testing.T) {
	for _, c := range vectors.Load(t).Protobuf.Cases {
		if c.Name != "channel stats response" {
			continue
		}
		one := testkit.ParseChannel("00112233445566778899aabbccddeeff") // even
		two := testkit.ParseChannel("f0e5d42369441879d7e176c96cbbff2d")
		x := newExecutor(t, &fake{})
		x.log = &only{id: one}
		got, err := x.Online(t.Context(), []channel.ID{one, two})
		if err != nil || hex.EncodeToString(got) != c.Hex {
			t.Errorf("%x, %v, want %s", got, err, c.Hex)
		}
		return
	}
	t.Error("no such vector")
}

// only is a log in which one channel is online.
type only struct {
	fake
	id channel.ID
}

func (o *only) Online(_ context.Context, ids []channel.ID) ([]int, error) {
	sessions := make([]int, len(ids))
	for i, id := range ids {
		if id == o.id {
			sessions[i] = 1
		}
	}
	return sessions, nil
}

func TestLifeAndType(t *testing.T) {
	typing := `{"module_id":"im","command":"startWriting"}`
	for _, c := range []struct {
		body   string
		expiry uint32
		typ    string
		want   time.Duration // of the portal's message
		name   string
		client time.Duration // of the same from a client
	}{
		{hello, 0, "", 0, "im_hello", 0},
		{hello, 60, "", time.Minute, "im_hello", time.Minute},
		{hello, 1 << 31, "", 24 * time.Hour, "im_hello", 24 * time.Hour},
		{typing, 3600, "", 2 * time.Minute, "im_startWriting", 2 * time.Minute},
		{typing, 3600, "im_message", time.Hour, "im_message", 2 * time.Minute},
		{hello, 3600, "online_x", 2 * time.Minute, "online_x", time.Hour},
		{hello, 3600, "im.start Writing", 2 * time.Minute, "imstartWriting", time.Hour},
		{hello, 3600, "\xff\xfe", time.Hour, "im_hello", time.Hour},
	} {
		if c.typ == "im.start Writing" {
			c.want = time.Hour // without the type, no rule matches
		}
		m := &pb.IncomingMessage{Receivers: []*pb.Receiver{public(1)}, Body: []byte(c.body), Expiry: c.expiry, Type: []byte(c.typ),
			Sender: &pb.Sender{Type: pb.SenderType_BACKEND, Id: raw(9)}}
		f := &fake{}
		x := newExecutor(t, f)
		if _, err := x.Portal(t.Context(), batch(t, publish(m))); err != nil {
			t.Fatal(err)
		}
		if got := f.got[0]; got.TTL != c.want || got.Type != c.name || got.Sender != (proto.Sender{Type: proto.SenderBackend}) {
			t.Errorf("portal's %q %q %d: %v %q %v", c.body, c.typ, c.expiry, got.TTL, got.Type, got.Sender)
		}
		if _, err := x.Client(t.Context(), mine, batch(t, publish(m))); err != nil {
			t.Fatal(err)
		}
		if got := f.got[1]; got.TTL != c.client || got.Sender != (proto.Sender{Type: proto.SenderClient, ID: mine}) {
			t.Errorf("client's %q %q %d: %v %q %v", c.body, c.typ, c.expiry, got.TTL, got.Type, got.Sender)
		}
	}
}

// TestOurFaults: an error of ours is not a refusal, and questions are answered before anything is
// published.
func TestOurFaults(t *testing.T) {
	broken := errors.New("broken")
	data := batch(t, publish(incoming(hello, private(1))), ask(private(1)), serverStats())
	for name, f := range map[string]*fake{"append": {appends: broken}, "online": {onlines: broken}, "processes": {statsErr: broken}} {
		reply, err := newExecutor(t, f).Portal(t.Context(), data)
		var refusal *proto.Error
		if !errors.Is(err, broken) || errors.As(err, &refusal) || reply != nil {
			t.Errorf("%s: %q, %v", name, reply, err)
		}
		if len(f.got) != 0 {
			t.Errorf("%s: published although it was refused", name)
		}
	}
	if _, err := newExecutor(t, &fake{closed: true}).Portal(t.Context(), data); err != proto.ErrChannelsClosed {
		t.Errorf("all channels closed: %v", err)
	}
}

func TestLimitsAreConfigurable(t *testing.T) {
	x := New(Config{Signer: signer, MaxMessages: 2, MaxChannels: 3, MaxPayload: 300}, &fake{}, nil)
	for _, c := range []struct {
		messages, channels int
		want               error
	}{{2, 3, nil}, {3, 1, proto.ErrTooManyMessages}, {1, 4, proto.ErrTooManyChannels}} {
		m := incoming("x", many(c.channels, private(1))...)
		if _, err := x.Portal(t.Context(), batch(t, publish(many(c.messages, m)...))); err != c.want {
			t.Errorf("%d messages, %d channels: %v", c.messages, c.channels, err)
		}
	}
	if _, err := x.Portal(t.Context(), batch(t, publish(incoming(fmt.Sprintf("%0300d", 1), private(1))))); err != proto.ErrRequestData {
		t.Errorf("too large: %v", err)
	}
}

// BenchmarkLargestClientBatch measures what one frame of a client can cost: a hundred messages,
// each to as many receivers as fit.
func BenchmarkLargestClientBatch(b *testing.B) {
	x := newExecutor(b, &fake{})
	data := batch(b, publish(many(100, incoming(hello, many(100, public(1))...))...))
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := x.Client(b.Context(), mine, data); err != nil {
			b.Fatal(err)
		}
	}
}
