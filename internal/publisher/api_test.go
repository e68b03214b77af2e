package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// call returns a signed post of version 5 from an address outside the allowed networks, so that
// only the signature counts.
func call(t *testing.T, body string) *http.Request {
	r := request("POST", "/bitrix/api/?hostId=host&signature="+testkit.Signer(testKey).SignBody([]byte(body))+"&hostname=portal.example.com", body)
	r.RemoteAddr = "192.0.2.1:5000"
	return r
}

func publishCall(params string) string {
	return `{"jsonrpc":"2.0","method":"publish","params":` + params + `}`
}

func wantAnswer(t *testing.T, w *httptest.ResponseRecorder, status int, contentType, body string) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != contentType || w.Body.String() != body {
		t.Errorf("%d %s %s\nwant %d %s %s", w.Code, w.Header().Get("Content-Type"), w.Body, status, contentType, body)
	}
}

func TestAPIPublishes(t *testing.T) {
	f := &fake{}
	c := config(t)
	c.HostID = "host"
	p := newPublisher(c, f)
	body := `[` + publishCall(`{"channelList":["`+idA+`","`+idB+`"],"userList":[0,5,7],
		"body":{"module_id":"im","command":"message","params":[],"extra":{}},"user_params":{"5":{"mine":1}},"dictionary":{"all":2},"expiry":60,"type":"im_message"}`) +
		`,` + publishCall(`{"userList":[5],"body":{"module_id":"im","command":"startWriting"},"expiry":0}`) +
		`,` + publishCall(`{"userList":[5],"body":{"module_id":"online","command":"list"},"expiry":86400}`) +
		`,` + publishCall(`{"userList":[0],"body":{}}`) + `]`
	w := p.do(call(t, body))
	wantAnswer(t, w, http.StatusOK, "application/json",
		`[{"jsonrpc":"2.0","id":null,"result":{"mid":"00000000010000000000000001"}},{"jsonrpc":"2.0","id":null,"result":{"mid":"00000000010000000000000002"}},`+
			`{"jsonrpc":"2.0","id":null,"result":{"mid":"00000000010000000000000003"}},`+
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":"4017: No channels found."}}]`)
	if len(f.got) != 3 {
		t.Fatalf("%d messages", len(f.got))
	}
	m := f.got[0]
	if got, want := fmt.Sprint(m.Receivers), fmt.Sprint([]channel.ID{testkit.ParseChannel(idA), testkit.ParseChannel(idB), channel.ForUser(5), channel.ForUser(7)}); got != want {
		t.Errorf("receivers %s, want %s", got, want)
	}
	if got, want := string(m.Body), `{"module_id":"im","command":"message","params":{"all":2},"extra":{}}`; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
	if m.Type != "im_message" || m.TTL != time.Minute || fmt.Sprintf("%d %s", m.UserParams[0].User, m.UserParams[0].Params) != `5 {"mine":1}` {
		t.Errorf("%+v", m)
	}
	if m := f.got[1]; m.Type != "im_startWriting" || !m.Transient() {
		t.Errorf("expiry 0: %v", m.TTL)
	}
	if m := f.got[2]; m.TTL != 2*time.Minute { // the rule of its type
		t.Errorf("online: %v", m.TTL)
	}
}

func TestAPICalls(t *testing.T) {
	now := time.Now()
	f := &fake{online: func(_ context.Context, ids []channel.ID) ([]int, error) {
		n := make([]int, len(ids))
		for i, id := range ids {
			if id == channel.ForUser(1) {
				n[i] = 2
			}
		}
		return n, nil
	}, seen: []proto.Seen{{User: 2, At: now.Add(-154 * time.Second)}}}
	p := newPublisher(config(t), f)
	const wrong = `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":"`
	for _, c := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[1,2,3]}}`, `{"jsonrpc":"2.0","id":null,"result":{"1":0,"2":154}}`},
		{`{"jsonrpc":"2.0","method":"getUsersLastSeen","params":[],"id":"a"}`, `{"jsonrpc":"2.0","id":"a","result":{}}`},
		{`{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":[]}`, `{"jsonrpc":"2.0","id":null,"result":{}}`},
		{fmt.Sprintf(`{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"9":%d}}`, now.Unix()), `{"jsonrpc":"2.0","id":null,"result":{}}`},
		{`{"jsonrpc":"2.0","method":"listChannels","params":{},"id":2}`, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}`},
		{`nonsense`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`},
		{`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}`},
		{publishCall(`{"channelList":["` + idA + `"]}`), wrong + `the body is not an object"}}`},
		{publishCall(`{"channelList":["` + idA + `"],"body":"text"}`), wrong + `the body is not an object"}}`},
		{publishCall(`{"channelList":["x"],"body":{}}`), wrong + `channelList contains an invalid channel"}}`},
		{publishCall(`{"channelList":["` + idA + `/` + idB + `"],"body":{}}`), wrong + `channelList contains an invalid channel"}}`},
		{publishCall(`{"channelList":["` + channel.ForUser(5).String() + `"],"body":{}}`), wrong + `channelList contains an invalid channel"}}`},
		{publishCall(`{"channelList":["` + idA + ":" + idB + "." + strings.Repeat("0", 40) + `"],"body":{}}`), wrong + `channelList contains an invalid channel"}}`},
		{publishCall(`{"channelList":[5],"body":{}}`), wrong + `channelList must contain strings"}}`},
		{publishCall(`{"userList":["x"],"body":{}}`), wrong + `userList has an element that is not a user id"}}`},
		{publishCall(`{"userList":[5],"body":{},"dictionary":5}`), wrong + `dictionary is not an object"}}`},
	} {
		w := p.do(call(t, c.body))
		wantAnswer(t, w, http.StatusOK, "application/json", c.want)
	}
	if len(f.seen) != 2 || f.seen[1].User != 9 || f.seen[1].At.Unix() != now.Unix() {
		t.Errorf("seen %v", f.seen)
	}
	if len(f.got) != 0 {
		t.Errorf("%d messages", len(f.got))
	}
}

func TestAPIRefuses(t *testing.T) {
	f := &fake{}
	c := config(t)
	c.HostID, c.Limits.Payload = "host", 100
	p := newPublisher(c, f)
	body := publishCall(`{"userList":[5],"body":{}}`)
	good := testkit.Signer(testKey).SignBody([]byte(body))
	for name, c := range map[string]struct {
		target, body string
		status       int
		want         string
	}{
		"no signature":    {"/api/?hostId=host", body, 400, "4026: Wrong request signature."},
		"wrong signature": {"/api/?hostId=host&signature=" + strings.Repeat("0", 40), body, 400, "4026: Wrong request signature."},
		"another body's":  {"/api/?hostId=host&signature=" + good, body + " ", 400, "4026: Wrong request signature."},
		"no host":         {"/api/?signature=" + good, body, 400, "4025: Client Id is required."},
		"another host":    {"/api/?hostId=hos&hostId=host&signature=" + good, body, 400, "4025: Client Id is required."},
		"too large":       {"/api/?hostId=host&signature=" + good, strings.Repeat("x", 401), 413, ""},
	} {
		w := p.do(request("POST", c.target, c.body)) // from loopback, which does not help here
		if w.Code != c.status || w.Body.String() != c.want || w.Header().Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if len(f.got) != 0 {
		t.Errorf("%d messages", len(f.got))
	}
	if w := p.do(request("GET", "/bitrix/api/?hostId=host", "")); w.Code != http.StatusNotFound {
		t.Errorf("GET: %d", w.Code)
	}
	if w := p.do(request("POST", "/api/x?hostId=host&signature="+good, body)); w.Code != http.StatusOK || len(f.got) != 1 {
		t.Errorf("the right one: %d %s", w.Code, w.Body)
	}
}

func TestAPISaysWhenTheLogIsAway(t *testing.T) {
	f := &fake{append: func(context.Context, *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{}, errors.New("away")
	}}
	p := newPublisher(config(t), f)
	w := p.do(call(t, "["+publishCall(`{"userList":[5],"body":{}}`)+"]"))
	wantAnswer(t, w, http.StatusServiceUnavailable, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"Internal error"}}`)
	if w.Header().Get("Retry-After") != "1" {
		t.Error("no Retry-After")
	}
	// All channels are closed.
	f.append = func(context.Context, *proto.Message) (proto.Receipt, error) { return proto.Receipt{}, nil }
	w = p.do(call(t, publishCall(`{"userList":[5],"body":{}}`)))
	wantAnswer(t, w, http.StatusOK, "application/json",
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":"Channel is closed for writing."}}`)
}

// FuzzAPI: any signed body is answered 200 with JSON of version 2.0, and every message that is
// published has an object as its body.
func FuzzAPI(f *testing.F) {
	f.Add(publishCall(`{"channelList":["` + idA + `"],"userList":[5],"body":{"params":[]},"user_params":{"5":{"a":1}},"dictionary":{"b":2}}`))
	f.Add(`[` + publishCall(`{"userList":["5"],"body":{"module_id":"\xff"}}`) + `,{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"5":1e300}}]`)
	f.Fuzz(func(t *testing.T, body string) {
		log := &fake{}
		w := newPublisher(config(t), log).do(call(t, body))
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), `"2.0"`) && w.Body.String() != "[]" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, m := range log.got {
			if _, ok := proto.ParseObject(m.Body); !ok || len(m.Receivers) == 0 || strings.ContainsAny(string(m.Body), "\n\r\u2028") {
				t.Errorf("published %s to %d", m.Body, len(m.Receivers))
			}
		}
	})
}
