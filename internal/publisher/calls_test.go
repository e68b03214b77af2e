package publisher

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// TestClientTexts: a client of version 5 on long polls posts what it would otherwise send by
// WebSocket. None of these texts is refused.
func TestClientTexts(t *testing.T) {
	s := testkit.Signer(testKey)
	target := "/bitrix/rest/?CHANNEL_ID=" + s.Sign(ref(t, idA+":"+idC)).String() + "/" + s.Sign(ref(t, idB)).String()
	right := idB + "." + s.SignBody([]byte("public:"+idB))
	const wrong = `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"Invalid params","data":"`
	wave := func(id, receivers string) string {
		return `{"jsonrpc":"2.0","method":"publish","params":{` + receivers + `,"body":{"module_id":"e2e","command":"wave","params":{}}},"id":` + id + `}`
	}
	for _, c := range []struct {
		body, contentType, answer string
		acked, published          int
	}{
		{body: "mack:17952262100000000000000007", contentType: "text/plain", acked: 1},
		{body: "mack:nonsense", contentType: "text/plain"},
		{`[` + wave("1", `"channelList":["`+right+`"]`) + `,` + wave("2", `"userList":[5]`) + `]`, "application/json",
			`[{"jsonrpc":"2.0","id":1,"result":{}},` + wrong + `4020: Private channel is not allowed."}}]`, 0, 1},
		{wave("2", `"channelList":["`+idB+`.00"]`), "application/json", wrong + `4021: Channel has an invalid signature."}}`, 0, 0},
		{`{"jsonrpc":"2.0","method":"updateUsersLastSeen","params":{"5":7},"id":2}`, "application/json",
			`{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}`, 0, 0},
		{`[`, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`, 0, 0},
	} {
		f := &fake{}
		p := newPublisher(config(t), f)
		w := p.do(request("POST", target, c.body))
		wantAnswer(t, w, http.StatusOK, c.contentType, c.answer)
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a page cannot read the answer", c.body)
		}
		if n := testutil.ToFloat64(p.metrics.acks); n != float64(c.acked) || len(f.got) != c.published {
			t.Errorf("%s: %v acknowledged, %d published", c.body, n, len(f.got))
		}
		if refused := testutil.ToFloat64(p.metrics.refused[badCall]); (refused == 0) == strings.Contains(c.answer, "error") {
			t.Errorf("%s: %v refused", c.body, refused)
		}
		for _, m := range f.got {
			if m.Sender != (proto.Sender{Type: proto.SenderClient, ID: ref(t, idC).Private}) || len(m.Receivers) != 1 || m.Receivers[0] != channel.ForPublic(ref(t, idB).Private) {
				t.Errorf("%+v", m)
			}
		}
		if w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+idA, c.body)); w.Code != http.StatusBadRequest || len(f.got) != c.published {
			t.Errorf("%s: without an id: %d %s", c.body, w.Code, w.Body)
		}
	}
	away := newPublisher(config(t), &fake{append: func(context.Context, *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{}, errors.New("away")
	}})
	wantAnswer(t, away.do(request("POST", target, wave("1", `"channelList":["`+right+`"]`))), http.StatusOK, "application/json",
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}`)
}
