package edge

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/vectors"
	"pushgate/internal/wire"
	"pushgate/internal/wire/pb"
)

var (
	alicePublic = testkit.Channel(101)
	bobPublic   = testkit.Channel(102)
	shared      = testkit.Channel(200)
)

// pair returns the CHANNEL_ID value of a browser.
func pair(private, public channel.ID) string {
	return signer.Sign(channel.Ref{Private: private, Public: public}).String() + "/" + signed(shared)
}

// binary returns the frame's payload of messages.
func binary(messages ...*proto.Message) string {
	var all strings.Builder
	for _, m := range messages {
		all.Write(wire.BinaryFrame(m).Payload())
	}
	return all.String()
}

// to returns a receiver with the portal's signature.
func to(public channel.ID) *pb.Receiver {
	id, _ := public.Bytes()
	return &pb.Receiver{Id: id[:], Signature: signer.SignPublic(public)}
}

func publishTo(expiry uint32, body string, receivers ...*pb.Receiver) *pb.Request {
	m := &pb.IncomingMessage{Receivers: receivers, Body: []byte(body), Expiry: expiry}
	return &pb.Request{Command: &pb.Request_IncomingMessages{IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{m}}}}
}

func askAbout(receivers ...*pb.Receiver) *pb.Request {
	stats := new(pb.ChannelStatsRequest)
	for _, r := range receivers {
		stats.Channels = append(stats.Channels, &pb.ChannelId{Id: r.Id, IsPrivate: r.IsPrivate, Signature: r.Signature})
	}
	return &pb.Request{Command: &pb.Request_ChannelStats{ChannelStats: stats}}
}

func batch(t *testing.T, requests ...*pb.Request) []byte {
	t.Helper()
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// say sends a frame as a browser does.
func (w *world) say(conn *websocket.Conn, frame []byte) {
	w.t.Helper()
	if err := conn.Write(w.t.Context(), websocket.MessageBinary, frame); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// closed reads until the connection ends and returns how.
func (w *world) closed(conn *websocket.Conn) (code websocket.StatusCode, reason string) {
	w.t.Helper()
	for {
		if _, err := w.read(conn); err != nil {
			var closed websocket.CloseError
			errorAs(err, &closed)
			return closed.Code, closed.Reason
		}
	}
}

const hello = `{"module_id":"im","command":"hello","params":{}}`

func TestBinaryWebSocketReplaysAndGoesOnLive(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		first := w.publish(`{"n":1}`, alice)
		second := w.publish(`{"n":2}`, alice)
		third := w.publish(`{"n":3}`, shared)
		conn := w.dial(w.url("/bitrix/subws/", pair(alice, alicePublic), "mid", first.ID.String(), "binaryMode", "true"))
		want := func(want string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			kind, got, err := conn.Read(ctx)
			if err != nil || string(got) != want || kind != websocket.MessageBinary {
				t.Errorf("%v %x, %v, want %x", kind, got, err, want)
			}
		}
		want(binary(second, third))
		want(binary(w.publish(`{"n":4}`, shared)))
		want(binary(w.publish(`{"n":5}`, alicePublic, alice)))
		if n := w.value("delivered_total", "websocket"); n != 4 {
			t.Errorf("%v delivered, want 4", n)
		}
	})
}

// A frame that is not a message would make a client of this dialect lose its position in the log.
func TestBinaryWebSocketGetsNothingButMessages(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn, reader := w.rawWebSocket(w.url("/bitrix/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			b, err := reader.ReadByte()
			if err != nil {
				return
			}
			if b != 0x89 {
				t.Fatalf("a frame of type %x", b)
			}
			if _, err := reader.Discard(len(pingFrame) - 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestBinaryModeIsAskedForInOneWay(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for _, value := range []string{"", "1", "TRUE", "True", "true ", "false"} {
			poll := w.get(w.url("/sub/", signed(alice), "binaryMode", value))
			m := w.publish(`{}`, alice)
			if got := <-poll; got.body != text(m, alice) || got.header.Get("Content-Type") != "text/plain" {
				t.Errorf("%q: %q", value, got.body)
			}
		}
	})
}

func TestBinaryPoll(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		address := func(more ...string) string {
			return w.url("/bitrix/sub/", pair(alice, alicePublic), append(more, "binaryMode", "true")...)
		}
		live := w.get(address())
		first := w.publish(`{"n":1}`, alice)
		got := <-live
		if got.status != 200 || got.body != binary(first) || got.header.Get("Content-Type") != "application/octet-stream" || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%d %v %x, want %x", got.status, got.header, got.body, binary(first))
		}
		second, third := w.publish(`{"n":2}`, alice), w.publish(`{"n":3}`, shared)
		if got := <-w.get(address("mid", first.ID.String())); got.body != binary(second, third) || got.header.Get("Content-Length") != fmt.Sprint(len(got.body)) {
			t.Errorf("replay: %x, want %x", got.body, binary(second, third))
		}
		if got := <-w.get(address("mid", third.ID.String())); got.status != 304 || got.body != "" || got.header.Get("Last-Message-Id") != third.ID.String() {
			t.Errorf("nothing: %d %q %v", got.status, got.body, got.header)
		}
		v := vectors.Load(t)
		for _, list := range []string{alice.String(), alice.String() + "." + hex.EncodeToString(signer.SignPublic(alice))} {
			want := v.Answer(t, 2, "GET sub with bad signature (LP)")
			if got := <-w.get(w.url("/sub/", list, "binaryMode", "true")); got.status != want.Status || got.body != want.Body {
				t.Errorf("%s: %d %q", list, got.status, got.body)
			}
		}
	})
}

// A browser writes to another one. The reader gets the message with a sender that the server sets.
// A reader of the text dialect could not distinguish it from a message of the portal; it does not
// get it, and goes on after it.
func TestClientMessage(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		before := w.publish(`{"n":1}`, bob)
		from := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		live := w.dial(w.url("/subws/", pair(bob, bobPublic), "binaryMode", "true"))
		mobile := w.dial(w.url("/subws/", pair(bob, bobPublic)))
		poll := w.get(w.url("/sub/", pair(bob, bobPublic)))
		w.say(from, batch(t, publishTo(60, `{"module_id":"im","command":"hello","params":{},"extra":{"revision_web":20}}`, to(bobPublic))))

		got, err := w.read(live)
		var frame pb.ResponseBatch
		if err != nil || protobuf.Unmarshal([]byte(got), &frame) != nil {
			t.Fatalf("%x, %v", got, err)
		}
		m := frame.GetResponses()[0].GetOutgoingMessages().GetMessages()[0]
		own, _ := alicePublic.Bytes()
		if m.GetSender().GetType() != pb.SenderType_CLIENT || string(m.GetSender().GetId()) != string(own[:]) || strings.Contains(m.GetBody(), "revision") || m.GetExpiry() != 60 {
			t.Errorf("%v", m)
		}
		if _, err := proto.ParseID(hex.EncodeToString(m.GetId())); err != nil {
			t.Errorf("id %x", m.GetId())
		}

		select {
		case got := <-poll:
			t.Fatalf("a poll of the text dialect got %q", got.body)
		default:
		}
		after := w.publish(`{"n":2}`, bob)
		if got := <-poll; got.body != text(after, bob) {
			t.Errorf("a poll of the text dialect got %q", got.body)
		}
		if got, err := w.read(mobile); err != nil || got != text(after, bob) {
			t.Errorf("a text client got %q, %v", got, err)
		}
		again := w.dial(w.url("/subws/", pair(bob, bobPublic), "mid", before.ID.String()))
		if got, err := w.read(again); err != nil || got != text(after, bob) {
			t.Errorf("a text client's replay: %q, %v", got, err)
		}
		again = w.dial(w.url("/subws/", pair(bob, bobPublic), "mid", before.ID.String(), "binaryMode", "true"))
		if replay, err := w.read(again); err != nil || replay != got+binary(after) {
			t.Errorf("a replay: %x, %v", replay, err)
		}
		if n := w.value("client_commands_total", "done"); n != 1 {
			t.Errorf("%v commands counted", n)
		}
		// It reached its receiver, and there is no reply.
		w.publish(`{"n":3}`, alice)
		if got, err := w.read(from); err != nil || !strings.Contains(got, `{"n":3}`) {
			t.Errorf("the sender got %q, %v", got, err)
		}
	})
}

// A text poll for which only clients' messages have come ends without a message, and with an id
// after theirs.
func TestPollMovesOnOverWithheldMessages(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		before := w.publish(`{}`, bob)
		m := w.append(&proto.Message{Receivers: []channel.ID{bob}, Body: []byte(hello), TTL: time.Hour, Sender: proto.Sender{Type: proto.SenderClient, ID: alicePublic}})
		got := <-w.get(w.url("/sub/", signed(bob), "mid", before.ID.String()))
		if got.status != http.StatusNotModified || got.header.Get("Last-Message-Id") != m.ID.String() || got.after != 40*time.Second {
			t.Errorf("%d %q after %v, want 304 and %v", got.status, got.header.Get("Last-Message-Id"), got.after, m.ID)
		}
	})
}

func TestClientMayAskWhoIsOnline(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		time.Sleep(2 * presenceStep)
		for range 3 {
			w.say(conn, batch(t, askAbout(to(bobPublic), to(alicePublic))))
			got, err := w.read(conn)
			var reply pb.ResponseBatch
			if err != nil || protobuf.Unmarshal([]byte(got), &reply) != nil {
				t.Fatalf("%x, %v", got, err)
			}
			channels := reply.GetResponses()[0].GetChannelStats().GetChannels()
			if len(channels) != 2 || channels[0].GetIsOnline() || !channels[1].GetIsOnline() {
				t.Errorf("%v", channels)
			}
		}
	})
}

// TestClosesOfVectors has every fault for which a connection of this dialect is closed.
func TestClosesOfVectors(t *testing.T) {
	private := &pb.Receiver{Id: to(bob).Id, IsPrivate: true}
	unsigned := &pb.Receiver{Id: to(bobPublic).Id}
	hundred := publishTo(0, hello, to(bobPublic))
	hundred.GetIncomingMessages().Messages = slices.Repeat(hundred.GetIncomingMessages().Messages, 101)
	frames := map[string][][]byte{
		"frame 0102030405":                              {{1, 2, 3, 4, 5}, []byte("text"), {}},
		"serverStats":                                   {batch(t, &pb.Request{Command: &pb.Request_ServerStats{ServerStats: &pb.ServerStatsRequest{}}})},
		"101 messages":                                  {batch(t, hundred)},
		"empty receivers / empty stats":                 {batch(t, publishTo(0, hello)), batch(t, askAbout())},
		"101 channels":                                  {batch(t, publishTo(0, hello, slices.Repeat([]*pb.Receiver{to(bobPublic)}, 101)...)), batch(t, askAbout(slices.Repeat([]*pb.Receiver{to(bobPublic)}, 101)...))},
		"receiver isPrivate=true":                       {batch(t, publishTo(0, hello, private)), batch(t, askAbout(private))},
		"missing or wrong receiver signature":           {batch(t, publishTo(0, hello, unsigned)), batch(t, publishTo(0, hello, to(bobPublic), unsigned))},
		"frame larger than limits.maxPayload (library)": {make([]byte, 1<<20+1)},
	}
	inWorld(t, nil, func(t *testing.T, w *world) {
		cases := 0
		for _, c := range vectors.Load(t).Closes {
			for _, frame := range frames[c.When] {
				cases++
				conn := w.dial(w.url("/bitrix/subws/", pair(alice, alicePublic), "binaryMode", "true"))
				go conn.Write(t.Context(), websocket.MessageBinary, frame)
				if code, reason := w.closed(conn); int(code) != c.Code || reason != c.Reason {
					t.Errorf("%s: %d %q, want %d %q", c.When, code, reason, c.Code, c.Reason)
				}
			}
		}
		if cases != 14 {
			t.Errorf("%d cases", cases)
		}
		conn := w.dial(w.url("/subws/", signed(alice, bob), "binaryMode", "true"))
		w.say(conn, batch(t, publishTo(0, hello, to(bobPublic))))
		if code, reason := w.closed(conn); code != 4012 || reason != "4012: Public Channel Id is Required." {
			t.Errorf("no public id: %d %q", code, reason)
		}
		conn = w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		w.say(conn, batch(t, publishTo(0, `{"module_id":"Pull","command":"config_expire"}`, to(bobPublic))))
		if code, reason := w.closed(conn); code != 4014 || reason != "4014: Request command is not allowed." {
			t.Errorf("system message: %d %q", code, reason)
		}
		synctest.Wait()
		if n := w.value("session_ends_total", "command_system_message"); n != 1 {
			t.Errorf("%v system messages counted", n)
		}
	})
}

// TestConnectURLs: the URLs of the known clients are accepted.
func TestConnectURLs(t *testing.T) {
	v := vectors.Load(t)
	key := testkit.Signer(v.Parsing.Generation2.Key)
	cases := 0
	for _, c := range v.ConnectURLs {
		if strings.Contains(c.Client, "version 5") {
			continue // another dialect's
		}
		cases++
		e := edgeOf(settings{Config: Config{PingInterval: time.Minute}, Portal: portal.Portal{Signer: key}}, storetest.NewMemory(store.Config{}), prometheus.NewRegistry())
		r, err := http.NewRequest("GET", "/bitrix/subws/?"+c.Query, nil)
		if err != nil {
			t.Fatal(err)
		}
		sub, refusal := e.parse(r)
		if refusal != nil {
			t.Errorf("%s: %v", c.Client, refusal)
			continue
		}
		query, _ := url.ParseQuery(c.Query)
		want := wire.Text
		if strings.Contains(c.Client, "web, version 4") {
			want = wire.Binary
		}
		if sub.reader.Codec != want || (sub.cursor != nil) != query.Has("mid") || sub.public.IsZero() == strings.Contains(query.Get("CHANNEL_ID"), ":") {
			t.Errorf("%s: %+v", c.Client, sub)
		}
	}
	if cases < 5 {
		t.Errorf("%d cases", cases)
	}
}
