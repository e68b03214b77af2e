package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/explain"
	"pushgate/internal/ops"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// explained is an edge and a publisher of two portals, as their programs run them, over a real
// Redis.
type explained struct {
	t                *testing.T
	redis            *storetest.Redis
	addr, admin      map[string]string // by program
	signer, stranger *sign.Signer
}

const explainedPortals = `{"portals": [
	{"client_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "host_id": "host-a", "keys": ["` + key + `"], "limits": {"connections": 1, "channels": 100}},
	{"client_id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "host_id": "host-b", "keys": ["` + key + `"], "limits": {"connections": 1, "channels": 100}}]}`

func startExplained(t *testing.T) *explained {
	x := &explained{t: t, redis: storetest.StartRedis(t), addr: make(map[string]string), admin: make(map[string]string),
		signer: testkit.Signer(key), stranger: testkit.Signer("another key, of which nobody knows")}
	portals := filepath.Join(t.TempDir(), "portals.json")
	if err := os.WriteFile(portals, []byte(explainedPortals), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"PUSHGATE_PORTALS=" + portals, "PUSHGATE_REDIS_URL=" + x.redis.URL(), "PUSHGATE_LISTEN=127.0.0.1:0", "PUSHGATE_DRAIN=0s", "PUSHGATE_CHANNEL_CAP=3", "PUSHGATE_RECENT_BYTES=0",
		"PUSHGATE_ADMIN_TOKENS=anna:act:" + actToken + ",vera:view:the-token-of-vera-0123"}
	ctx, leave := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { leave(); running.Wait() })
	run := func(name string, cfg settings, build func(base) (ops.Service, error)) {
		log := new(testkit.Buffer)
		started := make(chan struct{})
		running.Go(func() {
			level := new(slog.LevelVar)
			err := serve(ctx, cfg, level, ops.NewLogger(log, "text", level), ops.NewRegistry(), func(b base) (ops.Service, error) {
				s, err := build(b)
				s.Started = func(addr, admin net.Addr) {
					x.addr[name], x.admin[name] = addr.String(), admin.String()
					close(started)
				}
				return s, err
			})
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, log)
			}
		})
		<-started
		testkit.Eventually(t, name+" is ready", func() bool {
			answer, err := http.Get("http://" + x.admin[name] + "/readyz")
			if err == nil {
				answer.Body.Close()
			}
			return err == nil && answer.StatusCode == 200
		})
	}
	edge, err := config.LoadEdge(append(environ, "PUSHGATE_ID=edge"))
	if err != nil {
		t.Fatal(err)
	}
	run("edge", edge, edgeService(edge))
	publisher, err := config.LoadPublisher(append(environ, "PUSHGATE_ID=publisher"))
	if err != nil {
		t.Fatal(err)
	}
	run("publisher", publisher, publisherService(publisher))
	return x
}

// post posts a message and returns its id. expiry is in seconds; 0 is transient.
func (x *explained) post(id channel.ID, expiry int, text string) string {
	x.t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channelList":[%q],"expiry":%d,"body":{"module_id":"im","command":"message","params":{"text":%q}}}}`, id, expiry, text)
	var all []byte
	for range 20 { // a large one may be too slow on a busy machine
		answer, err := http.Post("http://"+x.addr["publisher"]+"/bitrix/api/?clientId=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&hostId=host-a&signature="+x.signer.SignBody([]byte(body)), "application/json", strings.NewReader(body))
		if err != nil {
			x.t.Fatal(err)
		}
		all, _ = io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable {
			break
		}
	}
	var reply struct{ Result struct{ MID string } }
	if err := json.Unmarshal(all, &reply); err != nil || len(reply.Result.MID) != proto.IDLen {
		x.t.Fatalf("%v %s", err, all)
	}
	return reply.Result.MID
}

// subscribe connects a client, which reads nothing unless it is asked to. A refused one ends.
func (x *explained) subscribe(signer *sign.Signer, portal, mid string, ids ...channel.ID) *websocket.Conn {
	x.t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, signer.Sign(channel.Ref{Private: id}).String())
	}
	return x.dial("CHANNEL_ID=" + url.QueryEscape(strings.Join(list, "/")) + "&clientId=" + portal + "&mid=" + mid)
}

func (x *explained) dial(query string) *websocket.Conn {
	x.t.Helper()
	// A small buffer, for those who do not read.
	small := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(8 << 10)
		}
		return conn, err
	}}
	conn, _, err := websocket.Dial(x.t.Context(), "ws://"+x.addr["edge"]+"/bitrix/subws/?"+query, &websocket.DialOptions{HTTPClient: &http.Client{Transport: small}})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(-1)
	return conn
}

func (x *explained) read(conn *websocket.Conn) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := conn.Read(ctx); err != nil {
		x.t.Error(err)
	}
}

// ask asks the admin port of a program.
func (x *explained) ask(program, method, path, body, token string) (status int, text string) {
	x.t.Helper()
	return askAdmin(x.t, x.admin[program], token, method, path, body)
}

// explain asks by the admin port of the publisher, which does not know of sessions itself.
func (x *explained) explain(q string) (r explain.Report) {
	x.t.Helper()
	status, text := x.ask("publisher", "GET", "/admin/explain?portal=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&q="+url.QueryEscape(q), "", "the-token-of-vera-0123")
	if err := json.Unmarshal([]byte(text), &r); err != nil || status != 200 {
		x.t.Fatalf("%d %v %s", status, err, text)
	}
	return r
}

// TestExplainNamesTheCause: a message that did not arrive, for one reason after another, is asked
// for by its id; and the answer has that reason.
func TestExplainNamesTheCause(t *testing.T) {
	t.Parallel()
	x := startExplained(t)
	n := byte(0)
	fresh := func() channel.ID { n++; return testkit.Channel(n) }
	// Somebody is there all the time, so that the edge follows the portal.
	x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", fresh())
	x.subscribe(x.signer, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "", fresh())
	expect := func(cause explain.Why, mid string) explain.Report {
		t.Helper()
		r := x.explain(mid)
		if len(r.Verdicts) != 1 || r.Verdicts[0].Why != cause || r.Verdicts[0].Text[0] == "" || len(r.Unknown) > 0 {
			text, _ := json.Marshal(r)
			t.Errorf("want %s: %s", cause, text)
		}
		return r
	}

	id := fresh()
	conn := x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id)
	mid := x.post(id, 3600, "x")
	x.read(conn)
	r := expect(explain.Written, mid)
	if m := r.Message; m.State != explain.StateStored || m.Rule != "*=24h" || m.Life != 3600_000 || m.Type != "im_message" || m.Sender != "portal" ||
		len(m.Accepted) != 1 || m.Accepted[0].Process != "publisher" || len(m.Heard) != 1 || m.Heard[0].From == 0 || len(r.Sessions) != 1 || len(r.Sessions[0].Written) != 1 {
		t.Errorf("%+v %+v", m, r.Sessions)
	}

	id = fresh()
	mid = x.post(id, 3600, "x")
	expect(explain.NotConnected, mid)
	x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id)
	expect(explain.Since, mid)

	id = fresh()
	mid = x.post(id, 3600, "x")
	x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", mid, id)
	expect(explain.Position, mid)

	id = fresh()
	x.subscribe(x.signer, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "", id)
	mid = x.post(id, 3600, "x")
	expect(explain.OtherPortal, mid)

	id = fresh()
	mid = x.post(id, 3600, "x")
	x.subscribe(x.stranger, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id).Read(t.Context())
	expect(explain.KeyChanged, mid)

	id = fresh()
	mid = x.post(id, 3600, "x")
	past := time.Now().Add(-time.Hour)
	x.dial("clientId=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&token=" + x.signer.SignToken(sign.Token{User: 17, Channels: []channel.ID{id}, Expires: past}, "host-a", past)).Read(t.Context())
	expect(explain.BadToken, mid)

	id = fresh()
	mid = x.post(id, 0, "x")
	expect(explain.NotConnected, mid)
	x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id)
	expect(explain.Missed, mid)

	id = fresh()
	x.post(id, 3600, "first")
	mid = x.post(id, 3600, "x")
	for range 3 { // the cap of a channel
		x.post(id, 3600, "y")
	}
	conn = x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", strings.Repeat("0", proto.IDLen), id)
	x.read(conn)
	expect(explain.Trimmed, mid)

	id = fresh()
	mid = x.post(id, 3600, "x")
	x.redis.Do("DEL", "pg:{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}:m:"+mid)
	expect(explain.Gone, mid)

	public := testkit.Channel(200)
	pair := func(private channel.ID) *websocket.Conn {
		return x.dial("clientId=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&CHANNEL_ID=" + url.QueryEscape(x.signer.Sign(channel.Ref{Private: private, Public: public}).String()))
	}
	id = fresh()
	evicted := pair(id)
	pair(fresh())
	evicted.Read(t.Context())
	expect(explain.Evicted, x.post(id, 3600, "x"))

	id = fresh()
	x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id) // it never reads
	// More than both sockets take.
	for range 60 {
		mid = x.post(id, 3600, strings.Repeat("x", 100_000))
	}
	expect(explain.Behind, mid)

	// Of what is not there, the answer knows nothing, and says so.
	far := "1999999999" + mid[10:]
	if r := x.explain(far); len(r.Verdicts) != 1 || r.Verdicts[0].Why != explain.NotFound || r.Message.State != explain.StateNotFound {
		t.Errorf("%+v", r)
	}

	id = fresh()
	mid = x.post(id, 1, "x")
	testkit.Eventually(t, "expired", func() bool { return x.explain(mid).Message.State == explain.StateExpired })
	conn = x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", strings.Repeat("0", proto.IDLen), id)
	x.post(id, 3600, "y")
	x.read(conn)
	expect(explain.Expired, mid)
}

// TestExplainAtTheAdminPort: who may ask what, what is said of a channel, a user, a list and a
// token, and how wrong questions are refused. The body of a message needs the role act, and is in
// the audit log.
func TestExplainAtTheAdminPort(t *testing.T) {
	t.Parallel()
	x := startExplained(t)
	id := testkit.Channel(1)
	conn := x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id)
	mid := x.post(id, 3600, "the secret body")
	x.read(conn)
	const view, path = "the-token-of-vera-0123", "/admin/explain?portal=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&q="
	signed := x.signer.Sign(channel.Ref{Private: id}).String()
	token := x.signer.SignToken(sign.Token{User: 17, Channels: []channel.ID{id}, Expires: time.Now().Add(time.Hour)}, "host-a", time.Now())
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{path + id.String(), 200, []string{`"kind":"channel"`, `"why":"written"`, mid, `"transport":"websocket"`}},
		{path + "user:17", 200, []string{`"kind":"user"`, `"why":"not_connected"`}},
		{path + url.QueryEscape(signed), 200, []string{`"kind":"list"`, `"signed":true,"key":1,"algorithm":"sha1"`, `"why":"written"`}},
		{path + url.QueryEscape(x.stranger.Sign(channel.Ref{Private: id}).String()), 200, []string{`"signed":false,"key":0`}},
		{path + url.QueryEscape(token), 200, []string{`"kind":"token"`, `"channel":"user:17","signed":true,"key":1`}},
		{path + "ivan", 400, []string{"The parameter q: give the id of a message"}},
		{"/admin/explain?q=" + mid, 200, []string{`"portal":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`, `"why":"written"`}}, // a publisher remembers whose it is
		{"/admin/explain?q=1999999999" + mid[10:], 400, []string{"there are several portals"}},
		{"/admin/explain?portal=cccc&q=" + mid, 404, []string{"there is no such portal"}},
		{"/admin/trace?portal=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&q=" + mid, 400, []string{"follow a user"}},
		{"/admin/trace?portal=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&q=user:17&seconds=0", 400, []string{"seconds must be"}},
	} {
		for _, program := range []string{"edge", "publisher"} {
			status, text := x.ask(program, "GET", c.path, "", view)
			for _, want := range append(c.want, "") {
				if status != c.status || !strings.Contains(text, want) {
					t.Errorf("%s %s: %d %s, want %s", program, c.path, status, text, want)
				}
			}
			if strings.Contains(text, "secret body") || strings.Contains(text, signed) || strings.Contains(text, token) {
				t.Errorf("%s: a body, a signature or a token is shown: %s", c.path, text)
			}
		}
	}
	for _, path := range []string{"explain?q=user:17", "trace?q=user:17"} {
		if status, _ := x.ask("edge", "GET", "/admin/"+path, "", "a token of nobody at all"); status != 401 {
			t.Errorf("%s without a token: %d", path, status)
		}
	}
	asked := fmt.Sprintf(`{"portal":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","id":%q}`, mid)
	if status, text := x.ask("edge", "POST", "/admin/explain/body", asked, view); status != 403 || strings.Contains(text, "secret") {
		t.Errorf("a body for the role view: %d %s", status, text)
	}
	if status, text := x.ask("edge", "POST", "/admin/explain/body", asked, actToken); status != 200 || !strings.Contains(text, "the secret body") {
		t.Errorf("a body for the role act: %d %s", status, text)
	}
	if _, text := x.ask("edge", "GET", "/admin/audit", "", view); !strings.Contains(text, "message-body") || !strings.Contains(text, strings.TrimLeft(mid[10:], "0")) {
		t.Errorf("audit log: %s", text)
	}
}

// TestTrace: what happens to a channel is followed live, from both processes, and ends in time.
func TestTrace(t *testing.T) {
	t.Parallel()
	x := startExplained(t)
	id, other := testkit.Channel(1), testkit.Channel(2)
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+x.admin["publisher"]+"/admin/trace?portal=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&seconds=2&q="+id.String(), nil)
	r.Header.Set("Authorization", "Bearer the-token-of-vera-0123")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, 3)
	// All follow.
	if _, err := io.ReadFull(answer.Body, first); err != nil || string(first) != ":\n\n" {
		t.Fatalf("%q %v", first, err)
	}
	conn := x.subscribe(x.signer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", id)
	x.post(other, 3600, "x")
	x.post(id, 3600, "x")
	x.read(conn)
	conn.Close(websocket.StatusNormalClosure, "")
	all, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.HasSuffix(all, []byte("event: end\ndata: {}\n\n")) {
		t.Errorf("%v %s", err, all)
	}
	var got []string
	for line := range strings.Lines(string(all)) {
		var step explain.Step
		if data, ok := strings.CutPrefix(line, "data: {\"process"); ok {
			if err := json.Unmarshal([]byte("{\"process"+data), &step); err != nil {
				t.Fatal(err)
			}
			got = append(got, step.Process+" "+step.What+" "+step.Detail)
		}
	}
	want := []string{"edge began websocket", "publisher posted stored im_message", "edge heard im_message", "edge written websocket", "edge ended client_closed"}
	// The clocks are the same, but the publisher notes a post after the edge has it.
	for _, w := range want {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("%q is missing: %q", w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%q", got)
	}
}
