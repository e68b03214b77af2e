package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/explain"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// TestConsoleFindsTheCause: an operator asks the console for messages that did not arrive, each for
// another planted reason, and reads the reason after two clicks, in his language.
func TestConsoleFindsTheCause(t *testing.T) {
	t.Parallel()
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, Env: []string{"PUSHGATE_ADMIN_TOKENS=vera:view:" + adminView, "PUSHGATE_CHANNEL_CAP=3"},
		EdgeEnv: []string{"PUSHGATE_RECENT_BYTES=0", "PUSHGATE_MAX_CONNECTIONS_PER_CHANNEL=1"}})
	edge := w.Edges[0]
	dial := func(query string) *websocket.Conn {
		t.Helper()
		conn, _, err := websocket.Dial(t.Context(), "ws://"+edge.Addr+"/bitrix/subws/?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.CloseNow() })
		return conn
	}
	list := func(signer *sign.Signer, refs ...channel.Ref) string {
		var text []string
		for _, ref := range refs {
			text = append(text, signer.Sign(ref).String())
		}
		return "CHANNEL_ID=" + url.QueryEscape(strings.Join(text, "/"))
	}
	watch := func(id channel.ID) *websocket.Conn { return dial(list(w.Signer, channel.Ref{Private: id})) }
	closed := func(conn *websocket.Conn) { // waits for its end
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	}
	post := func(id channel.ID, expiry int) string {
		t.Helper()
		answer, err := w.Portals[0].Call(t.Context(), fmt.Appendf(nil,
			`{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channelList":[%q],"expiry":%d,"body":{"module_id":"im","command":"message","params":{}}}}`, id, expiry))
		var reply struct{ Result struct{ MID string } }
		if err == nil {
			err = json.Unmarshal([]byte(answer), &reply)
		}
		if err != nil || len(reply.Result.MID) != proto.IDLen {
			t.Fatalf("%v %s", err, answer)
		}
		return reply.Result.MID
	}
	observer := NewChannel() // so that the edge follows the portal
	observing := watch(observer)
	read := func(conn *websocket.Conn) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		if _, _, err := conn.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// The edge has heard of all that was posted.
	heard := func() { post(observer, 0); read(observing) }

	planted := map[explain.Why]string{}
	plant := func(cause explain.Why, do func(id channel.ID) (mid string)) { planted[cause] = do(NewChannel()) }
	plant(explain.NotConnected, func(id channel.ID) string { return post(id, 3600) })
	plant(explain.Since, func(id channel.ID) string {
		mid := post(id, 3600)
		heard()
		watch(id)
		return mid
	})
	plant(explain.Position, func(id channel.ID) string {
		mid := post(id, 3600)
		dial(list(w.Signer, channel.Ref{Private: id}) + "&mid=" + mid)
		return mid
	})
	plant(explain.KeyChanged, func(id channel.ID) string {
		mid := post(id, 3600)
		closed(dial(list(testkit.Signer("a key that the portal had once"), channel.Ref{Private: id})))
		return mid
	})
	plant(explain.BadToken, func(id channel.ID) string {
		mid, past := post(id, 3600), time.Now().Add(-time.Hour)
		closed(dial("token=" + w.Signer.SignToken(sign.Token{User: 17, Channels: []channel.ID{id}, Expires: past}, "", past)))
		return mid
	})
	plant(explain.Missed, func(id channel.ID) string {
		mid := post(id, 0)
		heard()
		watch(id)
		return mid
	})
	plant(explain.Evicted, func(id channel.ID) string {
		public := NewChannel()
		evicted := dial(list(w.Signer, channel.Ref{Private: id, Public: public}))
		dial(list(w.Signer, channel.Ref{Private: NewChannel(), Public: public}))
		closed(evicted)
		return post(id, 3600)
	})
	fromStart := "&mid=" + strings.Repeat("0", proto.IDLen)
	cut := NewChannel()
	plant(explain.Trimmed, func(channel.ID) string {
		post(cut, 3600)
		mid := post(cut, 3600)
		for range 3 { // the cap of a channel
			post(cut, 3600)
		}
		return mid
	})
	plant(explain.Expired, func(id channel.ID) string {
		mid := post(id, 1)
		testkit.Eventually(t, "expired", func() bool {
			_, text := askAdmin(t, w.Publishers[0], "GET", "/admin/explain?q="+mid, "", adminView)
			return strings.Contains(text, `"state":"expired"`)
		})
		conn := dial(list(w.Signer, channel.Ref{Private: id}) + fromStart)
		post(id, 3600)
		read(conn)
		return mid
	})
	// By now the edge can tell what it heard before the client came.
	read(dial(list(w.Signer, channel.Ref{Private: cut}) + fromStart))
	plant(explain.NotFound, func(id channel.ID) string { return "1999999999" + post(id, 3600)[10:] })

	for i, lang := range []string{"en", "ru"} {
		p := openTab(t, lang)
		p.login(w.Publishers[0].Admin+"/admin/", adminView)
		button := map[string]string{"en": "Explain", "ru": "Объяснить"}[lang]
		for cause, mid := range planted {
			p.Open("about:blank")
			p.Open(w.Publishers[0].Admin + "/admin/")
			p.Click("nav a", button) // the first click
			p.Wait("document.querySelector('input[name=q]')")
			p.Fill("input[name=q]", mid)
			p.Click("form button.primary", "") // the second
			p.Wait("document.querySelector('.verdicts li')")
			if said := Evaluate[string](p.Tab, "document.querySelector('.verdicts').innerText"); !strings.Contains(said, explain.Texts[cause][i]) {
				t.Errorf("%s in %s: %s", cause, lang, said)
			}
		}
		p.Check()
	}
}
