package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// tokens are the scenarios of pages of version 5.
var tokens = []scenario{
	{"finds its own params among those of all", userParams, nil},
	{"comes back with its token after the shared channel was replaced", sharedReplaced, nil},
}

// tokensOfTransport are those of one transport only: the client makes calls only by WebSocket.
var tokensOfTransport = map[string][]scenario{
	"WebSocket": {
		{"answers heartbeats and acknowledges messages", heartbeats, nil},
		{"writes to users and to public channels", writes, nil},
		{"lets guests write to guests", guests, nil},
		{"does not speak for the portal", impostor, nil},
		{"knows when users were last seen", usersLastSeen, nil},
		{"is notified when a user comes and goes", statusChanges, nil},
		{"asks the portal once when its token has expired", tokenExpired, nil},
	},
	"long poll": {
		{"acknowledges and writes by posts", posts, nil},
	},
}

// call posts a call as a portal of version 5 does: signed and without an id, but it has an answer.
func (w *world) call(method string, params object) (answer string) {
	w.Helper()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(object{"jsonrpc": "2.0", "method": method, "params": params}); err != nil {
		w.Fatal(err)
	}
	answer, err := w.push.Portals[0].Call(w.Context(), text.Bytes())
	if err != nil || !strings.Contains(answer, `"result"`) {
		w.Fatalf("%s: %s, %v", method, answer, err)
	}
	return answer
}

// addressed names the receivers of a message as PHP does: the users, and beside them their private
// channels. The shared one is of user 0.
func addressed(params object, channels ...channel.ID) object {
	users, ids := []int{}, []string{}
	for _, id := range channels {
		ids = append(ids, id.String())
		for user := range 4 {
			if id == private(user) || id == shared && user == 0 {
				users = append(users, user)
			}
		}
	}
	params["userList"], params["channelList"] = users, ids
	return params
}

// reply is the result of a call of the client.
type reply struct {
	ID     int
	Result json.RawMessage
	Error  json.RawMessage
}

// replies returns the results of the page's calls by WebSocket, in order.
func (b *tab) replies() (list []reply) {
	_, received := b.frames()
	for _, frame := range received {
		var r reply
		if json.Unmarshal([]byte(frame), &r) == nil && (r.Result != nil || r.Error != nil) {
			list = append(list, r)
		}
	}
	return list
}

// acknowledgements returns the sum of a metric over programs.
func (w *world) acknowledgements(programs []*e2e.Process) (sum float64) {
	w.Helper()
	for _, p := range programs {
		n, err := p.Metric(w.Context(), "pushgate_acknowledged_total")
		if err != nil {
			w.Fatal(err)
		}
		sum += n
	}
	return sum
}

// userParams: the portal's dictionary is for all receivers, and user_params are for one user. Both
// take precedence over the body.
func userParams(w *world) {
	a, b := w.open(1), w.open(2)
	w.call("publish", addressed(object{
		"body":        json.RawMessage(event("e2e", "say", object{"n": 1, "text": "to be replaced"})),
		"user_params": object{"1": object{"own": "of 1", "text": "to be replaced, too"}},
		"dictionary":  object{"text": text(1)},
	}, private(1), private(2)))
	w.call("publish", addressed(object{ // as PHP writes what is empty
		"body": json.RawMessage(event("e2e", "nothing", []int{})), "user_params": []int{}, "dictionary": []int{},
	}, private(1), private(2)))
	w.say(2, 2, shared)
	for page, own := range map[*tab]string{a: "of 1", b: ""} {
		page.expect(1, 2)
		var params struct{ Own string }
		if err := json.Unmarshal(page.heard()[0].Params, &params); err != nil || params.Own != own {
			w.Errorf("user %d heard %s", page.user, page.heard()[0].Params)
		}
		if heard := page.heard(); len(heard) != 3 || heard[1].Command != "nothing" || string(heard[1].Params) != "[]" {
			w.Errorf("user %d heard %+v", page.user, heard)
		}
		w.configs(page.user, 1)
	}
}

// sharedReplaced: the portal has a new shared channel. A page of version 5 reconnects with its
// token and asks for no other one. It still receives messages to its user.
func sharedReplaced(w *world) {
	b := w.open(1)
	w.say(1, 2, shared)
	b.expect(1, 2)
	now := time.Now()
	w.publish(event("pull", "channel_expire", object{"action": "reconnect", "channel": object{"id": shared.String(), "type": "shared"},
		"new_channel": object{"id": w.push.Signed(e2e.NewChannel()), "start": iso(now), "end": iso(now.Add(12 * time.Hour)), "type": "shared"}}), shared)
	w.say(3, 12, private(1))
	b.await("the page to come back", func() bool { list := b.connections(); return len(list) > 1 && list[len(list)-1].mid() != "" })
	w.say(13, 13, private(1))
	b.expect(1, 13)
	w.resumed(b)
	w.configs(1, 1)
}

// heartbeats: the server sends a heartbeat every 10 s, and the client answers. It acknowledges
// every message that it has processed, also after a replay.
func heartbeats(w *world) {
	b := w.open(1)
	w.say(1, 5, private(1), shared)
	b.expect(1, 5)
	b.await("acknowledgements", func() bool { return w.acknowledgements(w.push.Edges) == 5 })
	count := func(frames []string, what string) (n int) {
		for _, frame := range frames {
			if frame == what {
				n++
			}
		}
		return n
	}
	b.await("two heartbeats and their answers", func() bool {
		sent, received := b.frames()
		return count(received, "ping") >= 2 && count(sent, "pong") >= 2
	})
	if n := len(b.connections()); n != 1 {
		w.Errorf("%d connections", n)
	}
	rest := w.killBusy()
	w.say(6, 9, private(1))
	b.expect(1, 9)
	b.await("acknowledgements", func() bool { return w.acknowledgements(rest) == 4 })
	var acked []string
	sent, _ := b.frames()
	for _, frame := range sent {
		if mid, ok := strings.CutPrefix(frame, "mack:"); ok {
			acked = append(acked, mid)
		}
	}
	if len(acked) != 9 || !slices.IsSorted(acked) || len(slices.Compact(acked)) != 9 {
		w.Errorf("acknowledged were %q", acked)
	}
	w.configs(1, 1)
}

// killBusy kills the edges that hold WebSockets and returns the others.
func (w *world) killBusy() (rest []*e2e.Process) {
	w.Helper()
	for _, edge := range w.push.Edges {
		switch n, err := edge.Metric(w.Context(), `pushgate_connections{transport="websocket"}`); {
		case err != nil:
			w.Fatal(err)
		case n > 0:
			edge.Kill()
		default:
			rest = append(rest, edge)
		}
	}
	return rest
}

// writes: a page writes to users, itself among them, and to the public channel of a page of version
// 4, which knows no users.
func writes(w *world) {
	a, b := w.open(1), w.open(2)
	old := newPortal(w.T, w.push.Public, 4, w.webSocket).open(w.T, w.chromium, 3)
	evaluate[bool](a, `pull.sendMessage([1, 2], "e2e", "wave", {n: 1}).then(() => true)`)
	evaluate[bool](a, fmt.Sprintf(`pull.sendMessageToChannels([%q], "e2e", "wave", {n: 1}).then(() => true)`, w.portal.inbox(3)))
	for _, page := range []*tab{a, b, old} {
		page.await("what a page sends", func() bool { return len(page.heard()) > 0 })
		e := page.heard()[0]
		if e.Type != "client" || e.Command != "wave" || string(e.Params) != `{"n":1}` || e.Extra.Sender.Type != 1 {
			w.Errorf("user %d heard %+v", page.user, e)
		}
		if page != old && e.Extra.Sender.ID != "1" {
			w.Errorf("user %d heard it from %q", page.user, e.Extra.Sender.ID)
		}
	}
	// A page without the right to write to a channel gets an error, and stays connected.
	forged := public(3).String() + "." + strings.Repeat("00", 20)
	if got := evaluate[string](a, fmt.Sprintf(`pull.sendMessageToChannels([%q], "e2e", "wave", {n: 2}).then(() => "sent", (e) => e.message)`, forged)); got != "Invalid params" {
		w.Errorf("a message without a right was answered with %q", got)
	}
	w.say(1, 1, private(1))
	a.await("the portal", func() bool { return len(a.numbers()) == 1 })
	for _, page := range []*tab{a, b, old} {
		want := 1
		if page == a {
			want = 2
		}
		if heard := page.heard(); len(heard) != want {
			w.Errorf("user %d heard %+v", page.user, heard)
		}
		if n := len(page.connections()); n != 1 {
			w.Errorf("user %d has had %d connections", page.user, n)
		}
	}
	w.configs(1, 1)
	w.configs(2, 1)
}

// guests: a guest's token names a pair of channels instead of a user. A guest may write to a
// channel with a signature, and to no user.
func guests(w *world) {
	user, a, b := w.open(1), w.open(firstGuest), w.open(firstGuest+1)
	w.say(1, 1, private(firstGuest))
	a.expect(1, 1)
	evaluate[bool](a, fmt.Sprintf(`pull.sendMessageToChannels([%q], "e2e", "wave", {n: 1}).then(() => true)`, w.portal.inbox(firstGuest+1)))
	evaluate[bool](user, fmt.Sprintf(`pull.sendMessageToChannels([%q], "e2e", "wave", {n: 2}).then(() => true)`, w.portal.inbox(firstGuest+1)))
	if got := evaluate[string](a, `pull.sendMessage([1], "e2e", "wave", {n: 3}).then(() => "sent", (e) => e.message)`); got != "Invalid params" {
		w.Errorf("a guest's message to a user was answered with %q", got)
	}
	b.await("what pages send", func() bool { return len(b.heard()) >= 2 })
	for i, from := range []int{firstGuest, 1} {
		if e := b.heard()[i]; e.Type != "client" || string(e.Params) != fmt.Sprintf(`{"n":%d}`, i+1) || e.Extra.Sender.ID != w.sender(from) {
			w.Errorf("heard %+v", e)
		}
	}
	w.say(1, 1, private(1))
	user.expect(1, 1)
	if heard := user.heard(); len(heard) != 1 {
		w.Errorf("the user heard %+v", heard)
	}
	for _, page := range []*tab{user, a, b} {
		w.configs(page.user, 1)
	}
}

// usersLastSeen: users who are online need no call of PHP. If the push server does not know a user,
// the client asks PHP, which informs the push server. After that, no page asks PHP again.
func usersLastSeen(w *world) {
	a, b := w.open(1), w.open(2)
	ask := func(users string, want func(map[string]int) bool) {
		w.Helper()
		var seen map[string]int
		a.await("the answer about "+users, func() bool {
			n := len(a.replies())
			// A connection that asks too often is refused.
			if !evaluate[bool](a, "pull.getUsersLastSeen("+users+").then(() => true, () => new Promise((go) => setTimeout(() => go(false), 500)))") {
				return false
			}
			a.await("a reply", func() bool { return len(a.replies()) > n })
			replies := a.replies()
			seen = nil
			return json.Unmarshal(replies[len(replies)-1].Result, &seen) == nil && want(seen)
		})
	}
	here := func(seen map[string]int, users ...string) bool {
		return !slices.ContainsFunc(users, func(user string) bool { seconds, ok := seen[user]; return !ok || seconds != 0 })
	}
	// An edge writes presence a moment after its sessions came; until then the users are unknown.
	a.await("the users to be known", func() bool {
		return w.call("getUsersLastSeen", object{"userList": []int{1, 2}}) == `{"jsonrpc":"2.0","id":null,"result":{"1":0,"2":0}}`
	})
	ask("[1, 2]", func(seen map[string]int) bool { return len(seen) == 2 && here(seen, "1", "2") })
	if sent, _ := a.frames(); !slices.Contains(sent, `{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[1,2]},"id":1}`) {
		w.Errorf("the client said %q", sent)
	}
	if n := w.portal.asked(1); n != 0 {
		w.Errorf("PHP was asked %d times about who is here", n)
	}
	ask("[1, 3]", func(seen map[string]int) bool { return len(seen) == 1 && here(seen, "1") })
	if n := w.portal.asked(1); n != 1 {
		w.Errorf("PHP was asked %d times, want 1", n)
	}
	w.call("updateUsersLastSeen", object{"3": time.Now().Add(-100 * time.Second).Unix()})
	ask("[1, 3]", func(seen map[string]int) bool { return here(seen, "1") && seen["3"] >= 100 && seen["3"] < 130 })
	evaluate[bool](b, "pull.stop(), true")
	ask("[2]", func(seen map[string]int) bool { return seen["2"] > 0 })
	if n := w.portal.asked(1); n != 1 {
		w.Errorf("PHP was asked %d times in the end, want 1", n)
	}
	w.configs(1, 1)
	w.configs(2, 1)
}

// statusChanges: a page that watches a user is notified of the user's first connection and of the
// end of the last one, also after the page's edge was killed.
func statusChanges(w *world) {
	a := w.open(1)
	evaluate[bool](a, `globalThis.statuses = [], globalThis.note = (s) => statuses.push(s), pull.subscribeUserStatusChange(2, note).then(() => true)`)
	notified := func(want ...bool) {
		w.Helper()
		type status struct {
			UserID   int
			IsOnline bool
		}
		var got []status
		a.await(fmt.Sprintf("statuses %v", want), func() bool { got = evaluate[[]status](a, "statuses"); return len(got) >= len(want) })
		for i, s := range got {
			if len(got) != len(want) || s.UserID != 2 || s.IsOnline != want[i] {
				w.Fatalf("notified of %+v, want %v", got, want)
			}
		}
	}
	b := w.open(2)
	notified(true)
	evaluate[bool](b, "pull.stop(), true")
	notified(true, false)

	asked := len(a.replies())
	w.killBusy()
	a.await("the client to ask again", func() bool { return len(a.replies()) > asked })
	evaluate[bool](b, "pull.start().then(() => true)")
	notified(true, false, true)
	evaluate[bool](a, "pull.unsubscribeUserStatusChange(2, note).then(() => true)")
	w.say(1, 1, private(1), private(2))
	a.expect(1, 1)
	b.expect(1, 1)
	w.configs(1, 1)
	w.configs(2, 1)
}

// tokenExpired: a token expires while it is in use. The page reconnects with it, is refused, and
// asks for another one, once. It misses nothing.
func tokenExpired(w *world) {
	w.portal.setLife(12 * time.Second) // in this time the page must connect and receive
	b := w.open(1)
	w.portal.setLife(12 * time.Hour)
	w.say(1, 3, private(1))
	b.expect(1, 3)
	refused := b.refused(time.Now())
	if !b.closed(3000) {
		w.Errorf("the connection was not closed with 3000: %q", b.said())
	}
	w.say(4, 12, private(1), shared)
	b.expectWithin(36*time.Second+testkit.Patience, 1, 12)
	w.say(13, 13, private(1))
	b.expect(1, 13)
	calls := w.portal.configs(w.T, 1)
	if len(calls) != 2 || calls[1].Sub(refused) < 4*time.Second {
		w.Fatalf("configurations were asked for at %v; the client was refused at %v", calls, refused)
	}
	if n := len(b.connections()); n != 3 {
		w.Errorf("%d connections; want the first, the refused, the new one", n)
	}
	w.resumed(b)
}

// posts: on long polls, the client posts what it would otherwise send by WebSocket. Its signed ids
// identify it, so it can write to public channels, but not to users.
func posts(w *world) {
	a, guest := w.open(1), w.open(firstGuest)
	w.say(1, 5, private(1), shared)
	a.expect(1, 5)
	a.await("acknowledgements", func() bool { return len(a.posted()) == 5 && w.acknowledgements(w.push.Publishers) == 5 })
	evaluate[bool](a, fmt.Sprintf(`pull.sendMessageBatch([{channelList: [%q], body: {module_id: "e2e", command: "wave", params: {n: 1}}}]).then(() => true)`,
		w.portal.inbox(firstGuest)))
	guest.await("the wave", func() bool { return len(guest.heard()) > 0 })
	if e := guest.heard()[0]; e.Type != "client" || e.Extra.Sender.Type != 1 || e.Extra.Sender.ID != public(1).String() {
		w.Errorf("heard %+v", e)
	}
	a.await("answers", func() bool { return !slices.Contains(a.posted(), 0) })
	if statuses := a.posted(); len(statuses) != 6 || len(slices.Compact(statuses)) != 1 || statuses[0] != http.StatusOK {
		w.Errorf("posts were answered with %v", statuses)
	}
	if n, err := w.push.Publishers[0].Metric(w.Context(), `pushgate_publish_refused_total{reason="bad_data"}`); err != nil || n != 0 {
		w.Errorf("%v posts were refused, %v", n, err)
	}
	w.configs(1, 1)
}
