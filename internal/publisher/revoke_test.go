package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

func TestRevokeAccess(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	signer, now := testkit.Signer(testKey), time.Now()
	until := now.Add(time.Hour).Unix()
	ask := func(method, params string) string {
		t.Helper()
		w := p.do(call(t, `{"jsonrpc":"2.0","method":"`+method+`","params":`+params+`}`))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d", method, w.Code)
		}
		return w.Body.String()
	}
	text := signer.SignToken(sign.Token{User: 5, ID: "jti of a tab", Expires: now.Add(time.Hour)}, "", now)
	plain := signer.SignToken(sign.Token{User: 5, Expires: now.Add(time.Hour)}, "", now)
	list := signer.Sign(channel.Ref{Private: testkit.ParseChannel(idA)}).String()
	for _, c := range []struct {
		params string
		want   revoke.Entry
	}{
		{`"userId":17`, revoke.User(17)},
		{`"userId":"18"`, revoke.User(18)},
		{`"tokenId":"abc"`, revoke.Token(revoke.TokenID("abc"))},
		{`"token":"` + text + `"`, revoke.Token(revoke.TokenID("jti of a tab"))},
		{`"token":"` + plain + `"`, revoke.Token(revoke.TokenOf("", plain))},
		{`"channelId":"` + list + `"`, revoke.Channel(testkit.ParseChannel(idA))},
	} {
		want := fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"result":{"until":%d}}`, until)
		if got := ask("revokeAccess", fmt.Sprintf(`{%s,"until":%d}`, c.params, until)); got != want || f.revoked[c.want] != until {
			t.Errorf("%.20s: %s, until %v", c.params, got, f.revoked[c.want])
		}
	}
	all := ask("getRevokedAccess", `[]`)
	if strings.Contains(all, idA) || !strings.Contains(all, fmt.Sprintf(`"user:17":%d`, until)) {
		t.Errorf("the list: %s", all)
	}
	ask("restoreAccess", `{"userId":17}`)
	if _, ok := f.revoked[revoke.User(17)]; ok {
		t.Error("a user that was restored is put out")
	}
	ask("revokeAccess", `{"userId":19}`)
	if got := time.Unix(f.revoked[revoke.User(19)], 0).Sub(now); got < 23*time.Hour || got > 25*time.Hour {
		t.Errorf("without a time: for %v", got)
	}
	f.revoked = nil
	for _, params := range []string{
		`{}`, `[]`, `{"userId":0}`, `{"userId":1,"tokenId":"x"}`, `{"token":"` + text + `x"}`, `{"channelId":"x"}`, `{"tokenId":""}`,
		`{"userId":1,"until":"soon"}`, `{"userId":1,"until":1700000000}`, fmt.Sprintf(`{"userId":1,"until":%d}`, now.Add(401*24*time.Hour).Unix()),
	} {
		var reply struct{ Error struct{ Code int } }
		if got := ask("revokeAccess", params); json.Unmarshal([]byte(got), &reply) != nil || reply.Error.Code != -32602 || strings.Contains(got, text) {
			t.Errorf("%s: %s", params, got)
		}
	}
	r := call(t, `{"jsonrpc":"2.0","method":"revokeAccess","params":{"userId":17}}`)
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "signature=", "signature=0", 1)
	if w := p.do(r); w.Code != proto.ErrRequestSignature.Status() || len(f.revoked) != 0 {
		t.Errorf("a wrong signature: status %d, %d entries", w.Code, len(f.revoked))
	}
}

// TestPostsOfAClientThatIsPutOut: a client with a list that is put out cannot write either, by any
// of its ways, and the others can.
func TestPostsOfAClientThatIsPutOut(t *testing.T) {
	f := &fake{}
	p := newPublisher(config(t), f)
	signer := testkit.Signer(testKey)
	list := func(id, public string) string {
		return signer.Sign(channel.Ref{Private: testkit.ParseChannel(id), Public: testkit.ParseChannel(public)}).String()
	}
	own, other := list(idA, idC), list(idB, idC)
	f.revoked = revoke.List{revoke.Channel(testkit.ParseChannel(idA)): time.Now().Add(time.Hour).Unix()}
	batch := toPublic(t, idC, `{"module_id":"im","command":"x"}`)
	call := `{"jsonrpc":"2.0","id":1,"method":"getUsersLastSeen","params":{"userList":[7]}}`
	for _, body := range []string{batch, call} {
		w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+own, body))
		if w.Code != proto.ErrWrongChannel.Status() || w.Body.String() != proto.ErrWrongChannel.Text || len(f.got) != 0 {
			t.Errorf("put out: status %d, %q, %d messages", w.Code, w.Body, len(f.got))
		}
		if w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+other, body)); w.Code != http.StatusOK {
			t.Errorf("another client: status %d, %q", w.Code, w.Body)
		}
		f.got = nil
	}
	if n := testutil.ToFloat64(p.metrics.refused[revoked]); n != 2 {
		t.Errorf("%v are counted, want 2", n)
	}
	f.failing = errors.New("Redis does not answer")
	if w := p.do(request("POST", "/bitrix/rest/?CHANNEL_ID="+other, batch)); w.Code != http.StatusServiceUnavailable || len(f.got) != 0 {
		t.Errorf("what is put out cannot be read: status %d", w.Code)
	}
}
