package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire/pb"
)

// twoPortals returns a process with numbers of two portals.
var twoPortals = proto.Process{
	ProcessStats: proto.ProcessStats{PID: 7, Date: 1763600000000, ID: "host-7", Numbers: proto.Numbers{Channels: 3, WebSockets: 2, Polls: 1,
		Limits: proto.StatsLimits{Payload: 1048576, Connections: 100, Messages: 101, Channels: 102}, Cluster: true,
		Daily: proto.Daily{Requests: proto.Counts{"incomingMessages": 5}, Messages: proto.Counts{"im_message": 4, "*": 1}}}},
	Portals: map[string]proto.Numbers{
		clientA: {Channels: 2, WebSockets: 2, Limits: proto.StatsLimits{Payload: 1}, Cluster: true, Daily: proto.Daily{Messages: proto.Counts{"secret_of_a": 4}}},
		clientB: {Channels: 1, Polls: 1, Limits: proto.StatsLimits{Payload: 2}, Cluster: true, Daily: proto.Daily{Messages: proto.Counts{"*": 1}}},
	},
}

// The JSON of its statistics: all of them, and the part of one portal.
const (
	shownWhole = `[{"pid":7,"date":1763600000000,"processUniqueId":"host-7","channels":3,` +
		`"limits":{"maxPayload":1048576,"maxConnPerChannel":100,"maxMessagesPerRequest":101,"maxChannelsPerRequest":102},` +
		`"clusterMode":true,"websockets":2,"pollings":1,"daily":{"requests":{"incomingMessages":5},"messages":{"*":1,"im_message":4}}}]`
	shownB = `[{"pid":7,"date":1763600000000,"processUniqueId":"host-7","channels":1,` +
		`"limits":{"maxPayload":2,"maxConnPerChannel":0,"maxMessagesPerRequest":0,"maxChannelsPerRequest":0},` +
		`"clusterMode":true,"websockets":0,"pollings":1,"daily":{"requests":{},"messages":{"*":1}}}]`
)

func tells(processes ...proto.Process) func(context.Context) ([]proto.Process, error) {
	return func(context.Context) ([]proto.Process, error) { return processes, nil }
}

func TestServerStat(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	if w := p.do(request("GET", "/server-stat/", "")); w.Code != 200 || w.Body.String() != "[]" {
		t.Error("no processes:", w.Code, w.Body)
	}
	f.processes = tells(twoPortals)
	// The second generation has more members, and the same beginning.
	want := vectors.Load(t).Answer(t, 1, "GET /server-stat/")
	want.Body = shownWhole
	check(t, p.do(request("GET", "/server-stat/", "")), want)
	check(t, p.do(request("GET", "/server-stat/all?x=y", "")), want)
	// The client id means nothing where there is one portal.
	check(t, p.do(request("GET", "/server-stat/?clientId="+clientB, "")), want)
	f.processes = func(context.Context) ([]proto.Process, error) { return nil, errors.New("broken") }
	if w := p.do(request("GET", "/server-stat/", "")); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Error("log away:", w.Code)
	}
	r := request("GET", "/server-stat/", "")
	r.RemoteAddr = "192.0.2.1:80"
	if w := p.do(r); w.Code != 403 {
		t.Error("outsider:", w.Code)
	}
}

func TestReady(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	if err := p.Ready(); err != nil {
		t.Error(err)
	}
	f.online = func(context.Context, []channel.ID) ([]int, error) { return nil, errors.New("broken") }
	if err := p.Ready(); err == nil {
		t.Error("ready without a log")
	}
}

// serverStats posts the command of a batch for a portal, and returns the JSON of its answer.
func serverStats(t *testing.T, p *Publisher, target string) string {
	t.Helper()
	w := p.do(request("POST", target, string(statsBatch(t))))
	var reply pb.ResponseBatch
	if err := protobuf.Unmarshal(w.Body.Bytes(), &reply); w.Code != 200 || err != nil || len(reply.GetResponses()) != 1 {
		t.Fatalf("%d %q, %v", w.Code, w.Body, err)
	}
	return reply.GetResponses()[0].GetServerStats().GetJson()
}

func statsBatch(tb testing.TB) []byte {
	tb.Helper()
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_ServerStats{ServerStats: &pb.ServerStatsRequest{}}}}})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestServerStatOfPortals: among many portals, a portal sees only itself, and an operator sees the
// portal that the request names.
func TestServerStatOfPortals(t *testing.T) {
	p, logs, stats := sharedStats(t)
	stats.processes = tells(twoPortals)
	for target, want := range map[string]string{
		"/server-stat/":                                     shownWhole,
		"/server-stat/?clientId=" + clientB:                 shownB,
		"/server-stat/?clientId=" + strings.Repeat("0", 32): "4025: Client Id is required.",
	} {
		if w := p.do(request("GET", target, "")); w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
	body := string(statsBatch(t))
	got := serverStats(t, p, "/pub/?binaryMode=true&clientId="+clientB+"&signature="+testkit.Signer(keyB).SignBody([]byte(body)))
	if got != shownB {
		t.Errorf("a portal among many: %s, want %s", got, shownB)
	}
	alone := newPublisher(config(t), &fake{processes: tells(twoPortals)})
	if got := serverStats(t, alone, "/pub/?binaryMode=true"); got != shownWhole {
		t.Errorf("a portal alone: %s, want %s", got, shownWhole)
	}
	if len(logs[clientA].got)+len(logs[clientB].got) != 0 {
		t.Error("something was published")
	}
}

// sharedStats is like shared, and has statistics too.
func sharedStats(t *testing.T) (p *Publisher, logs map[string]*fake, stats *fake) {
	t.Helper()
	p, logs = shared(t)
	stats = &fake{}
	table := p.tenants.Load().table
	return New(config(t).Config, table, func(name string) Log { return logs[name] }, stats, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), logs, stats
}

// TestAcceptedIsCounted: accepted requests are counted by command, and messages by type. Refused
// ones are not.
func TestAcceptedIsCounted(t *testing.T) {
	const body = `{"module_id":"im","command":"message"}`
	api := func(calls string) string {
		return "POST /api/?hostId=h&signature=" + testkit.Signer(testKey).SignBody([]byte(calls)) + " " + calls
	}
	batch, err := protobuf.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_IncomingMessages{
		IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{
			{Receivers: []*pb.Receiver{{Id: make([]byte, 16), IsPrivate: true}}, Body: []byte("{}"), Type: []byte("one")},
			{Receivers: []*pb.Receiver{{Id: make([]byte, 16), IsPrivate: true}}, Body: []byte("{}"), Type: []byte("two")},
		}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	closed, repeated := &proto.Receipt{}, &proto.Receipt{ID: proto.ID{Sequence: 1}, Repeated: true}
	for _, c := range []struct {
		what, request string
		log           *proto.Receipt // its receipt for each message; nil: appended
		want          proto.Daily
	}{
		{"a post", "POST /pub/?CHANNEL_ID=" + idA + " " + body, nil,
			proto.Daily{Requests: proto.Counts{"incomingMessages": 1}, Messages: proto.Counts{"im_message": 1}}},
		{"a post without a type", "POST /pub/?CHANNEL_ID=" + idA + " hello", nil,
			proto.Daily{Requests: proto.Counts{"incomingMessages": 1}, Messages: proto.Counts{"unknown": 1}}},
		{"a post that is refused", "POST /pub/?CHANNEL_ID=x " + body, nil, proto.Daily{}},
		{"a post to closed channels", "POST /pub/?CHANNEL_ID=" + idA + " " + body, closed, proto.Daily{}},
		{"a post that comes again", "POST /pub/?CHANNEL_ID=" + idA + " " + body, repeated, proto.Daily{Requests: proto.Counts{"incomingMessages": 1}}},
		{"who is online", "GET /pub/?CHANNEL_ID=" + idA + " ", nil, proto.Daily{Requests: proto.Counts{"channelStats": 1}}},
		{"the same, binary", "GET /pub/?binaryMode=true&CHANNEL_ID=" + idA + " ", nil, proto.Daily{Requests: proto.Counts{"channelStats": 1}}},
		{"an operator", "GET /server-stat/ ", nil, proto.Daily{}},
		{"a batch", "POST /pub/?binaryMode=true " + string(batch), nil,
			proto.Daily{Requests: proto.Counts{"incomingMessages": 1}, Messages: proto.Counts{"one": 1, "two": 1}}},
		{"a batch to closed channels", "POST /pub/?binaryMode=true " + string(batch), closed, proto.Daily{}},
		{"a batch that comes again", "POST /pub/?binaryMode=true " + string(batch), repeated, proto.Daily{Requests: proto.Counts{"incomingMessages": 1}}},
		{"serverStats", "POST /pub/?binaryMode=true " + string(statsBatch(t)), nil, proto.Daily{Requests: proto.Counts{"serverStats": 1}}},
		{"calls", api(`[` + publishCall(`{"userList":[5],"body":`+body+`}`) + `,{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[5]}},` +
			`{"jsonrpc":"2.0","method":"nothing"},` + publishCall(`{}`) + `,{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"5":1795226210}}]`), nil,
			proto.Daily{Requests: proto.Counts{"publish": 1, "getUsersLastSeen": 1, "updateUsersLastSeen": 1}, Messages: proto.Counts{"im_message": 1}}},
		{"a call that comes again", api(publishCall(`{"userList":[5],"body":` + body + `}`)), repeated, proto.Daily{Requests: proto.Counts{"publish": 1}}},
		{"a call to closed channels", api(publishCall(`{"userList":[5],"body":` + body + `}`)), closed, proto.Daily{}},
	} {
		f := &fake{}
		if c.log != nil {
			f.append = func(context.Context, *proto.Message) (proto.Receipt, error) { return *c.log, nil }
		}
		p := newPublisher(config(t), f)
		method, rest, _ := strings.Cut(c.request, " ")
		target, text, _ := strings.Cut(rest, " ")
		w := p.do(request(method, target, text))
		if diff := testkit.Diff(c.want, p.config.Book.Of(portal.Default).Today()); diff != "" {
			t.Errorf("%s: %d %q:\n%s", c.what, w.Code, w.Body, diff)
		}
	}
}

// TestRunKeepsStatistics: Run publishes what was accepted for each portal, and removes it when it
// ends.
func TestRunKeepsStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := config(t)
		c.Book = tally.NewBook("publisher-1", c.Limits, time.UTC)
		p := newPublisher(c, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "hello"))
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		if len(f.puts) < 5 || fmt.Sprint(f.drops) != "[publisher-1]" {
			t.Fatalf("%d writes, dropped %v", len(f.puts), f.drops)
		}
		got := f.puts[len(f.puts)-1]
		got.PID, got.Date = 0, 0
		text, _ := json.Marshal(got)
		numbers := `"channels":0,"limits":{"maxPayload":1048576,"maxConnPerChannel":0,"maxMessagesPerRequest":100,"maxChannelsPerRequest":100},` +
			`"clusterMode":true,"websockets":0,"pollings":0,"daily":{"requests":{"incomingMessages":1},"messages":{"unknown":1}}`
		if want := `{"pid":0,"date":0,"processUniqueId":"publisher-1",` + numbers + `,"portals":{"default":{` + numbers + `}}}`; string(text) != want {
			t.Errorf("%s, want %s", text, want)
		}
	})
}
