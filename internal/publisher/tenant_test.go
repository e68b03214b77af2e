package publisher

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/portal"
	"pushgate/internal/testkit"
)

const (
	clientA = "fcda45d0859442735f07b8bb5825ded1"
	clientB = "0123456789abcdef0123456789abcdef"
	keyA    = "the key of portal a"
	keyB    = "the key of portal b"

	hashA = "b0c54397c3726cd6e4f6de412ba8e1bb"
)

// shared is a publisher of two portals with client ids, each with its own log.
func shared(t *testing.T, more ...*portal.Portal) (p *Publisher, logs map[string]*fake) {
	t.Helper()
	limits := portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}
	small := limits
	small.Payload = 100
	table, err := portal.NewTable(append([]*portal.Portal{
		{ClientID: clientA, HostID: "host-a", Signer: testkit.Signer(keyA), Key: []byte(keyA), Licence: "781e5e245d69b566979b86e28d23f2c7", Limits: limits},
		{ClientID: clientB, HostID: "host-b", Signer: testkit.Signer(keyB), Key: []byte(keyB), Limits: small},
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	logs = map[string]*fake{clientA: {}, clientB: {}, portal.Default: {}}
	return New(config(t).Config, table, func(name string) Log { return logs[name] }, &fake{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), logs
}

func TestPostsOfManyPortals(t *testing.T) {
	const body = `{"module_id":"im","command":"message"}`
	rpc := publishCall(`{"userList":[5],"body":{}}`)
	for _, c := range []struct {
		what, method, target, body string
		status                     int
		text                       string // a part of the answer
		to                         string // the portal whose log has it; empty: none
	}{
		{"a's", "POST", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + clientA + "&signature=" + testkit.Signer(keyA).SignBody([]byte(body)), body, 200, "", clientA},
		{"b's", "POST", "/pub/?clientId=" + clientB + "&CHANNEL_ID=" + idA + "&signature=" + testkit.Signer(keyB).SignBody([]byte(body)), body, 200, "", clientB},
		{"b's by a's key", "POST", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + clientB + "&signature=" + testkit.Signer(keyA).SignBody([]byte(body)), body,
			400, "4026: Wrong request signature.", ""},
		{"unsigned, from an allowed address", "POST", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + clientA, body, 400, "4026: Wrong request signature.", ""},
		{"no portal", "POST", "/pub/?CHANNEL_ID=" + idA, body, 400, "4025: Client Id is required.", ""},
		{"unknown", "POST", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + strings.Repeat("0", 32), body, 400, "4025: Client Id is required.", ""},
		{"larger than b may", "POST", "/pub/?clientId=" + clientB + "&CHANNEL_ID=" + idA + "&signature=" + strings.Repeat("0", 40), strings.Repeat(" ", 101), 413, "", ""},
		{"statistics", "GET", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + clientA + "&signature=" + testkit.Signer(keyA).SignBody([]byte(idA)), "", 200, "infos", ""},
		{"statistics by b's key", "GET", "/pub/?CHANNEL_ID=" + idA + "&clientId=" + clientA + "&signature=" + testkit.Signer(keyB).SignBody([]byte(idA)), "",
			400, "4026: Wrong request signature.", ""},
		{"statistics of no portal", "GET", "/pub/?CHANNEL_ID=" + idA, "", 400, "4025: Client Id is required.", ""},
		{"call, by client id", "POST", "/api/?clientId=" + clientA + "&hostId=host-a&signature=" + testkit.Signer(keyA).SignBody([]byte(rpc)), rpc, 200, "mid", clientA},
		{"call, by host id", "POST", "/api/?hostId=host-a&signature=" + testkit.Signer(keyA).SignBody([]byte(rpc)), rpc, 200, "mid", clientA},
		{"call of another host", "POST", "/api/?clientId=" + clientA + "&hostId=host-b&signature=" + testkit.Signer(keyA).SignBody([]byte(rpc)), rpc,
			400, "4025: Client Id is required.", ""},
		{"call of no host", "POST", "/api/?signature=" + testkit.Signer(keyA).SignBody([]byte(rpc)), rpc, 400, "4025: Client Id is required.", ""},
		{"browser's, without the client id that it never has", "POST", "/rest/?CHANNEL_ID=" + idA, body, 400, "4012: Public Channel Id is Required.", ""},
	} {
		p, logs := shared(t)
		w := p.do(request(c.method, c.target, c.body))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: %d %q, want %d %q", c.what, w.Code, w.Body, c.status, c.text)
		}
		for name, log := range logs {
			want := 0
			if name == c.to {
				want = 1
			}
			if len(log.got) != want {
				t.Errorf("%s: %d messages to %s, want %d", c.what, len(log.got), name, want)
			}
		}
	}
}

// TestPersonalAmongMany: the personal portal keeps its own rules.
func TestPersonalAmongMany(t *testing.T) {
	p, logs := shared(t, &portal.Portal{Signer: testkit.Signer(testKey), Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}})
	if w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA, "hello")); w.Code != 200 || len(logs[portal.Default].got) != 1 {
		t.Errorf("%d %q, %d messages", w.Code, w.Body, len(logs[portal.Default].got))
	}
	if w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA+"&clientId="+clientA, "hello")); w.Code != 400 || len(logs[clientA].got) != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestServeAnew: after a reload the new key is valid and the old one is not. A removed portal is
// unknown.
func TestServeAnew(t *testing.T) {
	p, logs := shared(t)
	post := func(client, key string) int {
		return p.do(request("POST", "/pub/?CHANNEL_ID="+idA+"&clientId="+client+"&signature="+testkit.Signer(key).SignBody([]byte("hello")), "hello")).Code
	}
	if got := []int{post(clientA, keyA), post(clientB, keyB)}; got[0] != 200 || got[1] != 200 {
		t.Fatal(got)
	}
	table, err := portal.NewTable(&portal.Portal{ClientID: clientA, Signer: testkit.Signer("another key of a"), Limits: portal.Limits{Payload: 1 << 20, Posts: 1}},
		&portal.Portal{ClientID: strings.Repeat("7", 32), Signer: testkit.Signer(keyB)})
	if err != nil {
		t.Fatal(err)
	}
	p.SetPortals(table)
	if got := []int{post(clientA, keyA), post(clientA, "another key of a"), post(clientB, keyB)}; got[0] != 400 || got[1] != 200 || got[2] != 400 {
		t.Error(got)
	}
	if len(logs[clientA].got) != 2 || len(logs[clientB].got) != 1 {
		t.Errorf("%d and %d messages", len(logs[clientA].got), len(logs[clientB].got))
	}
}

func TestRegistration(t *testing.T) {
	p, _ := shared(t)
	// md5(md5(client|CP) . md5("0123456789")), computed by PHP.
	const good = "verificationQuery=BX_LICENCE%3D" + clientA + "%26BX_TYPE%3DCP%26BX_HASH%3D" + hashA + "%26BX_ALL%3Dy"
	for _, c := range []struct {
		what, contentType, body string
		status                  int
		want                    string
	}{
		{"right", "application/x-www-form-urlencoded", good, 200, `{"status":"success","securityKey":"the key of portal a"}`},
		{"right, as PHP says it", "application/x-www-form-urlencoded; charset=UTF-8", good, 200, `{"status":"success","securityKey":"the key of portal a"}`},
		{"wrong hash", "application/x-www-form-urlencoded", strings.Replace(good, hashA, strings.Repeat("0", 32), 1), 200, `{"status":"error","error":"WRONG_SIGN"}`},
		{"cannot register", "application/x-www-form-urlencoded", strings.Replace(good, clientA, clientB, 1), 200, `{"status":"error","error":"LICENSE_NOT_FOUND"}`},
		{"no form", "text/plain", good, 200, `{"status":"error","error":"WRONG_REQUEST"}`},
		{"nothing", "application/x-www-form-urlencoded", "", 200, `{"status":"error","error":"WRONG_REQUEST"}`},
		{"too much", "application/x-www-form-urlencoded", good + strings.Repeat("x", 1024), 413, ""},
	} {
		r := request("POST", "/register-client/", c.body)
		r.RemoteAddr = "192.0.2.1:5000"
		r.Header.Set("Content-Type", c.contentType)
		w := p.do(r)
		if w.Code != c.status || w.Body.String() != c.want {
			t.Errorf("%s: %d %s", c.what, w.Code, w.Body)
		}
		if w.Code == http.StatusOK && (w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes())) {
			t.Errorf("%s: %v", c.what, w.Header())
		}
	}
	if w := p.do(request("GET", "/register-client/", "")); w.Code != 404 {
		t.Errorf("GET: %d", w.Code)
	}
}
