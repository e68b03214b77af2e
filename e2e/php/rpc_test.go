package php

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// hostID is the portal's option host_id.
const hostID = "hOsTiD0123456789hOsTiD0123456789"

// startRPC runs a world that serves one portal of version 5.
func startRPC(t *testing.T) *e2e.World {
	t.Helper()
	return e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1, Env: []string{"PUSHGATE_HOST_ID=" + hostID}})
}

// rpcTask returns a task of a portal of version 5, with more members.
func rpcTask(w *e2e.World, do string, more object) object {
	task := object{"do": do, "url": "http://" + w.Internal + "/bitrix/api/", "hostId": hostID, "key": e2e.Key, "hostname": "portal.example.com"}
	maps.Copy(task, more)
	return task
}

// rpcReader is a connected client of version 5.
type rpcReader struct {
	t *testing.T

	mu     sync.Mutex
	bodies []rpcBody
	mids   []string
}

// rpcBody is a message as a client of version 5 combines it from what it receives.
type rpcBody struct {
	Command string
	Params  any
}

// readRPC connects with the token that the portal issues to a user, until the test ends.
func readRPC(t *testing.T, w *e2e.World, user int64, channels ...channel.ID) *rpcReader {
	t.Helper()
	now := time.Now().Unix()
	ids := make([]string, len(channels))
	for i, id := range channels {
		ids[i] = id.String()
	}
	token := makeToken(t, e2e.Key, object{"iss": hostID, "iat": now, "exp": now + 43200, "sub": fmt.Sprint(user), "chan": strings.Join(ids, ",")})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	query := url.Values{"token": {token}, "jsonRpc": {"true"}, "revision": {"19"}}
	conn, _, err := websocket.Dial(ctx, "ws://"+w.Public+"/bitrix/subws/?"+query.Encode(), nil)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	r := &rpcReader{t: t}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer conn.CloseNow()
		for {
			_, frame, err := conn.Read(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = r.take(frame)
			}
			if err != nil {
				t.Errorf("the reader of user %d: %v", user, err)
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	return r
}

// take notes the messages of a frame.
func (r *rpcReader) take(frame []byte) error {
	if string(frame) == "ping" {
		return nil
	}
	if frame[0] != '[' {
		frame = slices.Concat([]byte("["), frame, []byte("]"))
	}
	var requests []struct {
		Method string
		Params struct {
			MID        string
			Body       rpcBody
			Sender     struct{ Type int }
			UserParams map[string]any `json:"user_params"`
		}
	}
	if err := json.Unmarshal(frame, &requests); err != nil {
		return fmt.Errorf("%.200s: %w", frame, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range requests {
		p := request.Params
		if request.Method != "incoming.message" || p.Sender.Type != 2 {
			return fmt.Errorf("not a message of the portal: %.200s", frame)
		}
		if params, ok := p.Body.Params.(map[string]any); ok {
			maps.Copy(params, p.UserParams)
		}
		r.bodies, r.mids = append(r.bodies, p.Body), append(r.mids, p.MID)
	}
	return nil
}

// expect waits for messages, in this order, and fails the test for anything else.
func (r *rpcReader) expect(want ...rpcBody) {
	r.t.Helper()
	var got []rpcBody
	var mids []string
	testkit.Wait(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got, mids = slices.Clone(r.bodies), slices.Clone(r.mids)
		return len(got) >= len(want)
	})
	if d := testkit.Diff(want, got); d != "" {
		r.t.Errorf("arrived:\n%.3000s", d)
	}
	if !slices.IsSorted(mids) || len(slices.Compact(mids)) != len(got) {
		r.t.Errorf("ids %q", mids)
	}
}

// answered fails the test unless the portal was answered at once that all calls of a post were
// carried out. It returns the results.
func (r result) answered(t *testing.T, calls int) (results []any) {
	t.Helper()
	r.accepted(t)
	if r.Headers["connection"] != "close" || r.Headers["content-type"] != "application/json" {
		t.Errorf("answered with %v", r.Headers)
	}
	replies, ok := r.Decoded.([]any)
	if !ok {
		replies = []any{r.Decoded}
	}
	for _, reply := range replies {
		members, _ := reply.(map[string]any)
		if members["jsonrpc"] != "2.0" || members["result"] == nil {
			t.Errorf("answered with %v", reply)
		}
		results = append(results, members["result"])
	}
	if len(results) != calls {
		t.Errorf("%d answers to %d calls: %.300s", len(results), calls, r.Body)
	}
	return results
}

// TestJSONRPC: version 5. PHP names users and also their channels. No user gets a message twice,
// and every user gets their own params. For an empty object, PHP writes a list.
func TestJSONRPC(t *testing.T) {
	w := startRPC(t)
	shared, five, six := e2e.NewChannel(), e2e.NewChannel(), e2e.NewChannel()
	readers := map[string]*rpcReader{
		"5": readRPC(t, w, 5, shared), "6": readRPC(t, w, 6, shared),
		"5, who has his channel, too": readRPC(t, w, 5, shared, five),
	}
	old := read(t, w, six, shared) // an app, which speaks text
	both := object{"userList": []int{5, 6}, "channelList": []string{five.String(), six.String()}, "expiry": 86400, "type": "e2e_say"}
	all := object{"userList": []int{0}, "channelList": []string{shared.String()}, "expiry": 86400, "type": "e2e_say"}
	to := func(whom object, more object) object {
		request := maps.Clone(whom)
		maps.Copy(request, more)
		return request
	}
	post := func(requests ...object) {
		t.Helper()
		r := run[result](t, rpcTask(w, "json-rpc", object{"requests": requests}))
		for _, result := range r.answered(t, len(requests)) {
			if made, _ := result.(map[string]any); len(fmt.Sprint(made["mid"])) != 26 {
				t.Errorf("the result is %v", result)
			}
		}
	}
	post(
		to(both, object{"body": message(1, object{"text": text}), "user_params": object{}, "dictionary": object{}}),
		to(both, object{"body": message(2, object{"n": 2, "who": "all"}), "user_params": object{"5": object{"who": "5"}, "6": object{"who": "6"}, "7": object{"who": "7"}},
			"dictionary": object{"language": "ru"}}),
		to(all, object{"body": message(3, object{})}),
		to(both, object{"body": message(4, object{"n": 4}), "expiry": 0}),
	)
	post(to(all, object{"body": message(5, object{"n": 5})})) // a batch of one
	published := run[result](t, rpcTask(w, "json-rpc call", object{"method": "publish", "params": to(both, object{"body": message(6, object{"n": 6})})}))
	published.answered(t, 1)
	if published.Fault != "" {
		t.Error(published.Fault)
	}
	say := func(params any) rpcBody { return rpcBody{"message", params} }
	for name, r := range readers {
		who := name[:1]
		r.expect(say(object{"text": text}), say(object{"n": 2.0, "who": who, "language": "ru"}), say([]any{}), say(object{"n": 4.0}), say(object{"n": 5.0}),
			say(object{"n": 6.0}))
	}
	var heard []string
	testkit.Wait(func() bool { return old.Arrived() >= 6 })
	for _, a := range old.Arrivals() {
		var body rpcBody
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
			t.Fatal(err)
		}
		params, _ := body.Params.(map[string]any)
		heard = append(heard, fmt.Sprint(params["n"], params["who"], params["language"]))
	}
	// The message as all readers get it, without the params of one user.
	want := []string{"<nil><nil><nil>", "2allru", "<nil><nil><nil>", "4<nil><nil>", "5<nil><nil>", "6<nil><nil>"}
	for i := range heard {
		heard[i] = strings.ReplaceAll(heard[i], " ", "")
	}
	if !slices.Equal(heard, want) {
		t.Errorf("the app heard %q, want %q", heard, want)
	}
}

// TestLargeJSONRPC: the portal counts characters, each of which may have several bytes. A post may
// be one message.
func TestLargeJSONRPC(t *testing.T) {
	w := startRPC(t)
	r := readRPC(t, w, 5)
	limit := 1048576 - 20
	if os.Getenv("E2E_RACE") != "" {
		// The race detector makes the programs that much slower, and the portal waits for a second.
		limit /= 20
	}
	var requests []object
	var want []rpcBody
	for n := range 20 {
		words := strings.Repeat("ж", limit/20-300)
		requests = append(requests, object{"userList": []int{5}, "channelList": []string{}, "body": message(n, object{"text": words}), "expiry": 86400})
		want = append(want, rpcBody{"message", object{"text": words}})
	}
	post := run[result](t, rpcTask(w, "json-rpc", object{"requests": requests}))
	post.answered(t, len(requests))
	t.Logf("%.0f ms", post.MS)
	if len(post.Sent) < 2*limit-20_000 {
		t.Errorf("%d bytes", len(post.Sent))
	}
	words := strings.Repeat("€", limit-1000)
	run[result](t, rpcTask(w, "json-rpc", object{"requests": []object{{"userList": []int{5}, "body": message(20, object{"text": words})}}})).answered(t, 1)
	r.expect(append(want, rpcBody{"message", object{"text": words}})...)
}

// TestUsersLastSeen: the portal asks for who is online, and reports those whom the push server
// does not know. The users and the answer are those of the vectors.
func TestUsersLastSeen(t *testing.T) {
	w := startRPC(t)
	readRPC(t, w, 1)
	call := func(method string, params any) any {
		t.Helper()
		r := run[result](t, rpcTask(w, "json-rpc call", object{"method": method, "params": params}))
		r.answered(t, 1)
		if r.Fault != "" {
			t.Fatalf("%s: %s", method, r.Fault)
		}
		return r.Result
	}
	call("updateUsersLastSeen", object{"2": time.Now().Add(-154 * time.Second).Unix()})
	call("updateUsersLastSeen", object{})
	call("updateUsersLastSeen", object{"2": time.Now().Add(-time.Hour).Unix()}) // known better
	ask := func() (users []string, seconds float64) {
		answer, _ := call("getUsersLastSeen", object{"userList": []int{1, 2, 3}}).(map[string]any)
		seconds, _ = answer["2"].(float64)
		return slices.Sorted(maps.Keys(answer)), seconds
	}
	var users []string
	var seconds float64
	testkit.Wait(func() bool {
		users, seconds = ask() // an edge publishes its sessions a moment after they came
		return len(users) >= 2
	})
	if !slices.Equal(users, []string{"1", "2"}) || seconds < 154 || seconds > 200 {
		t.Errorf("%v, user 2 for %v s", users, seconds)
	}
	if answer := call("getUsersLastSeen", object{"userList": []int{3}}); !testkit.Equal(answer, any([]any{})) {
		t.Errorf("of no user: %v", answer) // PHP makes a list of an empty object
	}
}

// TestJSONRPCRefusals: a fault of a post, or of a call in it, never closes the connection.
func TestJSONRPCRefusals(t *testing.T) {
	w := startRPC(t)
	r := readRPC(t, w, 5)
	good := object{"userList": []int{5}, "body": message(1, object{"n": 1})}
	for _, c := range []struct {
		name   string
		more   object
		status int
		answer string
	}{
		{"signed with another key", object{"key": "another"}, 400, "4026: Wrong request signature."},
		{"of another portal", object{"hostId": strings.Repeat("x", 32)}, 400, "4025: Client Id is required."},
		{"for nobody", object{"requests": []object{{"userList": []int{0}, "channelList": []string{}, "body": message(1, object{})}}}, 200,
			`[{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Invalid params","data":"4017: No channels found."}}]`},
		{"without a call", object{"requests": []object{}}, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}`},
	} {
		task := rpcTask(w, "json-rpc", object{"requests": []object{good}})
		maps.Copy(task, c.more)
		if r := inTime(t, task); r.Status != c.status || r.Body != c.answer || r.Error != "" || r.MS >= soon {
			t.Errorf("%s: status %d %q, error %q after %.0f ms", c.name, r.Status, r.Body, r.Error, r.MS)
		}
	}
	for method, want := range map[string]string{"ping": "Method not found", "publish": "Invalid params", "subscribeStatusChange": "Method not found"} {
		r := run[result](t, rpcTask(w, "json-rpc call", object{"method": method, "params": object{"userList": "all"}}))
		if r.accepted(t); r.Fault != want {
			t.Errorf("%s: %q, want %q", method, r.Fault, want)
		}
	}
	run[result](t, rpcTask(w, "json-rpc", object{"requests": []object{good}})).answered(t, 1)
	r.expect(rpcBody{"message", object{"n": 1.0}})
}

// TestJSONRPCLogAway: while Redis does not answer, the portal gets an error in time, for every
// call, in JSON, and then keeps its messages. When Redis is back, posts are accepted again.
func TestJSONRPCLogAway(t *testing.T) {
	w := startRPC(t)
	reader := readRPC(t, w, 5)
	first := rpcTask(w, "json-rpc", object{"requests": []object{{"userList": []int{5}, "body": message(1, object{"n": 1}), "expiry": 86400}}})
	run[result](t, first).answered(t, 1)
	if err := w.Redis.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	quickest := map[string]float64{}
	for range 2 {
		for name, task := range map[string]object{
			"publish":             first,
			"getUsersLastSeen":    rpcTask(w, "json-rpc call", object{"method": "getUsersLastSeen", "params": object{"userList": []int{5}}}),
			"updateUsersLastSeen": rpcTask(w, "json-rpc call", object{"method": "updateUsersLastSeen", "params": object{"7": 1795226210}}),
		} {
			r := run[result](t, task)
			if r.Status != http.StatusServiceUnavailable || r.Error != "" || r.Headers["retry-after"] == "" || !json.Valid([]byte(r.Body)) {
				t.Errorf("%s: the portal had status %d %q, error %q after %.0f ms", name, r.Status, r.Body, r.Error, r.MS)
			}
			// A busy machine may be late once.
			quickest[name] = min(cmp.Or(quickest[name], soon), r.MS)
		}
	}
	for name, ms := range quickest {
		if ms >= soon {
			t.Errorf("%s: the quickest answer took %.0f ms", name, ms)
		}
	}
	t.Logf("the quickest answers took %.0f ms", slices.Sorted(maps.Values(quickest)))
	if err := w.Redis.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	last := rpcTask(w, "json-rpc", object{"requests": []object{{"userList": []int{5}, "body": message(2, object{"n": 2}), "expiry": 86400}}})
	var r result
	testkit.Wait(func() bool { r = run[result](t, last); return r.Status == http.StatusOK })
	r.answered(t, 1)
	// Some of the posts that the publisher gave up may have reached Redis.
	testkit.Eventually(t, "the last message arrives", func() bool {
		reader.mu.Lock()
		defer reader.mu.Unlock()
		n := len(reader.bodies)
		return n > 1 && testkit.Equal(reader.bodies[n-1], rpcBody{"message", object{"n": 2.0}})
	})
}
