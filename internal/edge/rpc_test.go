package edge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/wire"
)

// token makes a user's token that lives for an hour.
func token(user int64, channels ...channel.ID) string {
	return signer.SignToken(sign.Token{User: user, Channels: channels, Expires: time.Now().Add(time.Hour)}, "host", time.Now())
}

// rpcURL is where a client of version 5 connects.
func rpcURL(path, token string, more ...string) string {
	query := url.Values{"token": {token}, "jsonRpc": {"true"}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return "http://push.test" + path + "?" + query.Encode()
}

// hear reads frames until there is one that is not a heartbeat, and returns it.
func (w *world) hear(conn *websocket.Conn) string {
	w.t.Helper()
	for {
		frame, err := w.read(conn)
		if err != nil {
			w.t.Fatal(err)
		}
		if frame != "ping" {
			return frame
		}
	}
}

// ask sends a frame and returns what comes back.
func (w *world) ask(conn *websocket.Conn, frame string) string {
	w.t.Helper()
	w.tell(conn, frame)
	return w.hear(conn)
}

func (w *world) tell(conn *websocket.Conn, frame string) {
	w.t.Helper()
	if err := conn.Write(w.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// TestRPCUser: a user gets messages to the user and to all, with the user's own params, in the form
// of version 5. A message that is sent both ways comes once.
func TestRPCUser(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		five := w.dial(rpcURL("/subws/", token(5, bob)))
		six := w.dial(rpcURL("/subws/", token(6, bob)))
		m := w.append(&proto.Message{Receivers: []channel.ID{bob, channel.ForUser(5), channel.ForUser(6)}, Body: []byte(`{"params":{}}`), TTL: time.Hour,
			UserParams: []proto.UserParams{{User: 5, Params: []byte(`{"mine":1}`)}}})
		form := `{"jsonrpc":"2.0","method":"incoming.message","params":{"mid":"` + m.ID.String() + `","body":{"params":{}},"sender":{"type":2}%s}}`
		if got, want := w.hear(five), fmt.Sprintf(form, `,"user_params":{"mine":1}`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := w.hear(six), fmt.Sprintf(form, ""); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		only := w.publish(`{"x":1}`, channel.ForUser(6))
		if got := w.hear(six); got != string(wire.RPCFrame(only, 0).Payload()) {
			t.Error(got)
		}
		both := []*proto.Message{w.publish(`{"x":2}`, channel.ForUser(7)), w.publish(`{"x":3}`, channel.ForUser(7))}
		again := w.dial(rpcURL("/sub/", token(7), "mid", m.ID.String()))
		if got := w.hear(again); got != array(wire.RPCFrame(both[0], 7), wire.RPCFrame(both[1], 7)) {
			t.Errorf("replay %s", got)
		}
	})
}

func TestRPCCalls(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(rpcURL("/subws/", token(5, bob)))
		other := w.dial(rpcURL("/subws/", token(6)))
		time.Sleep(time.Second)
		if err := w.log.SetSeen(t.Context(), proto.Seen{User: 2, At: time.Now().Add(-154 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		const wrong = `"error":{"code":-32602,"message":"Invalid params","data":`
		for _, c := range []struct{ frame, want string }{
			{`{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[5,2,3,6]},"id":1}`, `{"jsonrpc":"2.0","id":1,"result":{"5":0,"2":154,"6":0}}`},
			{`{"jsonrpc":"2.0","method":"nope","params":{},"id":2}`, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}`},
			{`{"jsonrpc":"2.0","method":"ping","params":{},"id":3}`, `{"jsonrpc":"2.0","id":3,"result":{}}`},
			{`{"jsonrpc":"2.0","method":"listChannels","params":{},"id":"x"}`, `{"jsonrpc":"2.0","id":"x","result":["` + bob.String() + `"]}`},
			{`{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"9":5},"id":4}`, `{"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"Method not found"}}`},
			{`{`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`},
			{`{"jsonrpc":"2.0","method":"publish","params":{"userList":[6],"body":{"module_id":"PULL","command":"x"}},"id":5}`,
				`{"jsonrpc":"2.0","id":5,` + wrong + `"4014: Request command is not allowed."}}`},
			{`{"jsonrpc":"2.0","method":"subscribeStatusChange","params":{"userId":"x"},"id":6}`, `{"jsonrpc":"2.0","id":6,` + wrong + `"userId is not a user id"}}`},
			{`[{"jsonrpc":"2.0","method":"ping","id":7},{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"ping","id":8}]`,
				`[{"jsonrpc":"2.0","id":7,"result":{}},{"jsonrpc":"2.0","id":8,"result":{}}]`},
		} {
			// Before each, a message that is not a call.
			for _, noise := range []string{"pong", "null", `{"jsonrpc":"2.0","id":9,"result":{}}`, "mack:nonsense", `{"jsonrpc":"2.0","method":"ping"}`} {
				w.tell(conn, noise)
			}
			if got := w.ask(conn, c.frame); got != c.want {
				t.Errorf("%s:\n%s, want\n%s", c.frame, got, c.want)
			}
		}
		reply := w.ask(conn, `{"jsonrpc":"2.0","method":"publish","params":{"userList":[6],"body":{"module_id":"im","command":"x","params":{},"extra":{"revision_web":7}}},"id":10}`)
		if reply != `{"jsonrpc":"2.0","id":10,"result":{}}` {
			t.Error(reply)
		}
		if got := w.hear(other); !strings.Contains(got, `"sender":{"type":1,"id":"5"}}}`) || strings.Contains(got, "revision_web") || !strings.Contains(got, `"module_id":"im"`) {
			t.Error(got)
		}
	})
}

// TestRPCGuestToken: a guest's token names a pair of channels instead of a user. The public one
// identifies the guest to others. A guest may write to a public id with a signature, but not to
// users.
func TestRPCGuestToken(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		text := signer.SignToken(sign.Token{Channels: []channel.ID{alice, alicePublic}, Expires: time.Now().Add(time.Hour)}, "host", time.Now())
		guest := w.dial(rpcURL("/subws/", text))
		other := w.dial(w.url("/subws/", pair(bob, bobPublic), "jsonRpc", "true"))
		right := bobPublic.String() + "." + signer.SignBody([]byte("public:"+bobPublic.String()))
		const call = `{"jsonrpc":"2.0","method":"publish","params":{%s,"body":{"module_id":"im","command":"x","params":{}}},"id":1}`
		if reply := w.ask(guest, fmt.Sprintf(call, `"channelList":["`+right+`"]`)); reply != `{"jsonrpc":"2.0","id":1,"result":{}}` {
			t.Error(reply)
		}
		if got := w.hear(other); !strings.Contains(got, `"sender":{"type":1,"id":"`+alicePublic.String()+`"}}}`) {
			t.Error(got)
		}
		if reply := w.ask(guest, fmt.Sprintf(call, `"userList":[6]`)); !strings.Contains(reply, "4020: Private channel is not allowed.") {
			t.Error(reply)
		}
	})
}

// TestRPCHeartbeat: a client that has had one heartbeat disconnects after 20 s without another. So
// there is one every 10 s as long as the connection lasts, even while the replay waits for a log
// that cannot be read.
func TestRPCHeartbeat(t *testing.T) {
	for name, away := range map[string]bool{"at rest": false, "while the log is away": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				if away {
					w.log.Fail(errors.New("away"))
				}
				conn := w.dial(rpcURL("/subws/", token(5), "mid", strings.Repeat("0", proto.IDLen)))
				last := time.Now()
				for i := range 30 {
					frame, err := w.read(conn)
					if err != nil || frame != "ping" {
						t.Fatalf("%q, %v", frame, err)
					}
					if gap := time.Since(last); gap > heartbeat+100*time.Millisecond || i > 0 && gap < heartbeat/2 {
						t.Errorf("heartbeat %d came after %v", i, gap)
					}
					last = time.Now()
					w.tell(conn, "pong")
				}
				w.log.Fail(nil)
			})
		})
	}
}

func TestOthersGetNoHeartbeat(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice), "format", "json"))
		go func() {
			time.Sleep(5 * time.Minute)
			w.publish(`{}`, alice)
		}()
		if got, err := w.read(conn); err != nil || got[0] != '[' {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAcknowledgements(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(rpcURL("/subws/", token(5)))
		m := w.publish(`{}`, channel.ForUser(5))
		w.hear(conn)
		time.Sleep(300 * time.Millisecond)
		for _, frame := range []string{"mack:" + m.ID.String(), "mack:" + m.ID.String(), "mack:", "mack:" + proto.ID{Epoch: 1}.String()} {
			w.tell(conn, frame)
		}
		if n := w.value("acknowledged_total", ""); n != 1 {
			t.Errorf("%v acknowledged", n)
		}
		count, sum := w.histogram("publish_to_ack_seconds")
		if count != 1 || sum < 0.299 || sum > 0.301 {
			t.Errorf("%d in %v s", count, sum)
		}
	})
}

func (w *world) histogram(name string) (count uint64, sum float64) {
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "pushgate_"+name {
			h := family.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	return 0, 0
}

func TestBadTokens(t *testing.T) {
	inWorld(t, func(c *settings) { c.HostID = "host" }, func(t *testing.T, w *world) {
		expired := signer.SignToken(sign.Token{User: 5, Expires: time.Now().Add(-time.Second)}, "host", time.Now())
		foreign := signer.SignToken(sign.Token{User: 5, Expires: time.Now().Add(time.Hour)}, "another", time.Now())
		for name, text := range map[string]string{"nonsense": "x", "expired": expired, "another portal's": foreign} {
			conn := w.dial(rpcURL("/subws/", text, "CHANNEL_ID", signed(alice)))
			if _, err := w.read(conn); websocket.CloseStatus(err) != 4010 {
				t.Errorf("%s: %v", name, err)
			}
			if got := <-w.get(rpcURL("/sub/", text)); got.status != http.StatusBadRequest || got.body != "4010: Wrong Channel Id." {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
			if got := <-w.get(rpcURL("/sse/", text)); got.status != http.StatusBadRequest || got.body != "4010: Wrong Channel Id." {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		w.dial(rpcURL("/subws/", token(5)))
		if n := w.value("connections", "websocket"); n != 1 {
			t.Errorf("%v connections by a right token", n)
		}
	})
}

// TestExpiredTokenEndsTheSession: the close code makes clients reconnect without asking the portal.
func TestExpiredTokenEndsTheSession(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		start := time.Now()
		text := signer.SignToken(sign.Token{User: 5, Expires: start.Add(90 * time.Second)}, "host", start)
		conn := w.dial(rpcURL("/subws/", text))
		stream := w.get(rpcURL("/sse/", text))
		var err error
		for err == nil {
			_, err = w.read(conn)
		}
		if after := time.Since(start); websocket.CloseStatus(err) != 3000 || after < 90*time.Second || after > 90*time.Second+2*maxInterval {
			t.Errorf("%v after %v", err, after)
		}
		if got := <-stream; got.err != nil || got.after < 90*time.Second {
			t.Errorf("stream: %v after %v", got.err, got.after)
		}
		later := signer.SignToken(sign.Token{User: 5, Expires: time.Now().Add(10 * time.Second)}, "host", start)
		if got := <-w.get(rpcURL("/sub/", later)); got.status != http.StatusNotModified || got.after > 10*time.Second {
			t.Errorf("poll: %d after %v", got.status, got.after)
		}
	})
}

func TestRPCPoll(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		poll := w.get(rpcURL("/sub/", token(5)))
		m := w.publish(`{"a":1}`, channel.ForUser(5))
		got := <-poll
		if got.status != http.StatusOK || got.body != string(wire.RPCFrame(m, 5).Payload()) || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
		next := w.publish(`{"a":2}`, channel.ForUser(5))
		last := w.publish(`{"a":3}`, channel.ForUser(5))
		got = <-w.get(rpcURL("/sub/", token(5), "mid", m.ID.String()))
		if got.body != array(wire.RPCFrame(next, 5), wire.RPCFrame(last, 5)) {
			t.Error(got.body)
		}
		got = <-w.get(rpcURL("/sub/", token(5), "mid", last.ID.String()))
		if got.status != http.StatusNotModified || got.header.Get("Last-Message-Id") != last.ID.String() {
			t.Errorf("%d %v", got.status, got.header)
		}
	})
}

func TestJSON(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.publish(`{"a":1}`, alice), w.publish(`{"a":2}`, alice)
		both := array(wire.JSONFrame(a, 0), wire.JSONFrame(b, 0))
		zero := strings.Repeat("0", proto.IDLen)
		if got := <-w.get(w.url("/sub/", signed(alice), "format", "json", "mid", zero)); got.body != both || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v", got.body, got.header)
		}
		conn := w.dial(w.url("/subws/", signed(alice), "format", "json", "mid", zero))
		if got, err := w.read(conn); err != nil || got != both {
			t.Errorf("%s, %v", got, err)
		}
		c := w.publish(`{"a":3}`, alice)
		if got, err := w.read(conn); err != nil || got != string(wire.JSONFrame(c, 0).Payload()) {
			t.Errorf("%s, %v", got, err)
		}
	})
}

// array returns a JSON array of messages.
func array(frames ...*wire.Frame) string {
	elements := make([]string, len(frames))
	for i, f := range frames {
		elements[i] = element(f)
	}
	return "[" + strings.Join(elements, ",") + "]"
}

// element returns what a frame of JSON is in an array of several.
func element(f *wire.Frame) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(f.Payload()), "["), "]")
}
