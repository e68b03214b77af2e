// Package php tests a whole installation with posts of PHP that are the same as the portal's, byte
// for byte.
package php

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/testkit"
	"pushgate/internal/wire/pb"
)

// bin is where the programs are that TestMain built.
var bin string

func TestMain(m *testing.M) { os.Exit(e2e.Main(m, func(dir string) { bin = dir })) }

type object = map[string]any

// result is the result of one request for the portal.
type result struct {
	Status  int
	Headers map[string]string
	Body    string
	Error   string // of the network
	MS      float64
	Sent    []byte // the body of the request
	Decoded any    // the answer, as the portal takes it
	Online  []string
	Fault   string // of a call
	Result  any
}

// run makes the portal do a task. Without PHP the test is skipped.
func run[T any](t *testing.T, task object) (r T) {
	t.Helper()
	php, err := exec.LookPath("php")
	if err != nil {
		e2e.Missing(t, "php is not installed; scripts/test installs it on a Debian machine")
	}
	input, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), php, "-d", "display_errors=stderr", "-d", "error_reporting=-1", "portal.php")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("php: %v\n%s%s", err, out.Bytes(), complaints.Bytes())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("php said %q: %v", out.Bytes(), err)
	}
	return r
}

// soon is how long a request of the portal may take: after that the portal gives up.
const soon = 1000

// inTime runs a task that changes nothing, and repeats it once if it took too long: a busy machine
// may be late once.
func inTime(t *testing.T, task object) (r result) {
	t.Helper()
	for range 3 {
		if r = run[result](t, task); r.MS < soon {
			break
		}
	}
	return r
}

// accepted fails the test unless the portal got a success at once. What cannot be
// posted twice may be late on a busy machine.
func (r result) accepted(t *testing.T) {
	t.Helper()
	if r.Error != "" || r.Status != http.StatusOK || r.MS >= 5*soon {
		t.Errorf("the portal had status %d %q, error %q after %.0f ms", r.Status, r.Body, r.Error, r.MS)
	}
}

// message returns a message as modules of the portal publish it. Its text has all characters that
// PHP escapes in one transport and not in another.
func message(n int, params any) object {
	return object{"module_id": "im", "command": "message", "params": params, "extra": object{
		"server_time": "2026-11-21T01:56:50+00:00", "server_time_unix": 1795226210.759 + float64(n), "server_name": "portal.example.com",
		"revision_web": 19, "revision_mobile": 3}}
}

const text = "привет 🐧 </b> & 'one' \"two\" a/b \u2028\u2029 \n\t end"

// reader is a connected subscriber.
type reader struct {
	t *testing.T
	*e2e.Client
}

// read subscribes to channels until the test ends.
func read(t *testing.T, w *e2e.World, channels ...channel.ID) reader {
	t.Helper()
	return readAs(t, w, e2e.Text{}, channels...)
}

func readAs(t *testing.T, w *e2e.World, dialect e2e.Dialect, channels ...channel.ID) reader {
	t.Helper()
	c := &e2e.Client{Name: "reader", Address: w.Public, List: w.Signed(channels...), Dialect: dialect, HTTP: http.DefaultClient}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	opened := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		if err := c.WebSocket(ctx, sync.OnceFunc(func() { close(opened) })); ctx.Err() == nil {
			t.Errorf("the reader's connection ended: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	select {
	case <-opened:
	case <-time.After(30 * time.Second):
		t.Fatal("no connection for the reader")
	}
	return reader{t, c}
}

// expect waits for bodies, in this order, and fails the test for anything else.
func (r reader) expect(bodies ...string) {
	r.t.Helper()
	testkit.Wait(func() bool { return r.Arrived() >= len(bodies) })
	var got []string
	for _, a := range r.Arrivals() {
		got = append(got, a.Body)
	}
	if diff := testkit.Diff(bodies, got); diff != "" {
		r.t.Errorf("arrived:\n%.3000s", diff)
	}
	faults, _ := r.Faults()
	for _, fault := range faults {
		r.t.Error(fault)
	}
}

// TestText: version 3, and version 4 with protobuf switched off.
func TestText(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	a, b := e2e.NewChannel(), e2e.NewChannel()
	readers := []reader{read(t, w, a), read(t, w, b)}
	many := []string{a.String(), b.String()}
	for len(many) < 100 {
		many = append(many, e2e.NewChannel().String())
	}
	url := "http://" + w.Internal + "/bitrix/pub/"
	var want []string
	for i, post := range []object{
		{"message": message(1, object{"text": text})},
		{"message": message(2, []any{}), "expiry": 86400}, // PHP's empty array
		{"message": message(3, object{"text": text}), "expiry": 60, "channels": many},
		{"message": message(4, object{"text": strings.Repeat(text, 9000)}), "expiry": 86400, "read": true},
		{"message": message(5, object{"text": "the last"}), "expiry": 86400},
	} {
		task := object{"do": "text", "url": url, "channels": []string{a.String(), b.String()}}
		for name, value := range post {
			task[name] = value
		}
		r := run[result](t, task)
		r.accepted(t)
		if read, _ := post["read"].(bool); read {
			if r.Body != "" || !testkit.Equal(r.Decoded, any(map[string]any{"infos": []any{}})) {
				t.Errorf("post %d: the portal made %v of the answer %q", i+1, r.Decoded, r.Body)
			}
		}
		if got := r.Headers["connection"]; got != "close" {
			t.Errorf("post %d was answered with Connection: %s", i+1, got)
		}
		want = append(want, string(r.Sent))
	}
	for _, r := range readers {
		r.expect(want...)
	}
}

// TestLargeBatch posts as much as a portal posts at once, half of it transient. Readers of both
// dialects get the same, whichever dialect the portal posts in.
func TestLargeBatch(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	a, b := e2e.NewChannel(), e2e.NewChannel()
	readers := []reader{read(t, w, a), readAs(t, w, e2e.Binary{}, a), readAs(t, w, e2e.Binary{}, b)}
	url := "http://" + w.Internal + "/bitrix/pub/"
	audience := []string{a.String(), b.String()}
	for len(audience) < 250 { // three messages of a batch, of which readers must have each once
		audience = append(audience, e2e.NewChannel().String())
	}
	var messages []object
	var want []string
	encoded := func(r result) { // PHP says how it writes a body
		r.accepted(t)
		want = append(want, string(r.Sent))
	}
	encoded(run[result](t, object{"do": "text", "url": url, "channels": audience[:2], "expiry": 60, "message": message(0, object{"text": text})}))
	for n := 1; n <= 99; n++ {
		messages = append(messages, object{"channels": audience[:2], "message": message(n, object{"n": n}), "expiry": 60 * (n % 2)})
	}
	r := run[result](t, object{"do": "protobuf", "url": url, "hostname": "portal.example.com", "messages": messages})
	r.accepted(t)
	if r.Body != "" || r.Headers["content-type"] != "text/plain" {
		t.Errorf("answered with %q %v", r.Body, r.Headers)
	}
	var batch pb.RequestBatch
	if err := protobuf.Unmarshal(r.Sent, &batch); err != nil {
		t.Fatal(err)
	}
	for _, m := range batch.GetRequests()[0].GetIncomingMessages().GetMessages() {
		want = append(want, string(m.GetBody()))
	}
	large := object{"do": "protobuf", "url": url, "hostname": "portal.example.com", "messages": []object{{"channels": audience, "message": message(100, object{"text": text})}}}
	r = run[result](t, large)
	r.accepted(t)
	batch.Reset()
	if err := protobuf.Unmarshal(r.Sent, &batch); err != nil {
		t.Fatal(err)
	}
	want = append(want, string(batch.GetRequests()[0].GetIncomingMessages().GetMessages()[0].GetBody()))
	for _, r := range readers {
		r.expect(want...)
	}
	var online []string
	testkit.Wait(func() bool {
		online = run[result](t, object{"do": "protobuf statistics", "url": url, "hostname": "portal.example.com", "channels": audience[:99]}).Online
		return len(online) >= 2
	})
	if !testkit.Equal(online, audience[:2]) {
		t.Errorf("%q are online, want %q", online, audience[:2])
	}
	r = run[result](t, object{"do": "protobuf", "url": url, "hostname": "portal.example.com", "messages": slices.Repeat(messages, 2)})
	if r.Status != http.StatusBadRequest || r.Body != "4016: Request exceeded the maximum number of messages." || r.Error != "" {
		t.Errorf("too many: %d %q %s", r.Status, r.Body, r.Error)
	}
}

// TestRefusals: a faulty post is refused with a status, which the portal ignores, and never by
// closing the connection: after ten of these, the portal stops sending.
func TestRefusals(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	url := "http://" + w.Internal + "/bitrix/pub/"
	id := e2e.NewChannel().String()
	for _, c := range []struct {
		name   string
		task   object
		status int
	}{
		{"a channel that is none", object{"channels": []string{"zz"}, "raw": "1"}, 400},
		{"no channel", object{"channels": []string{}, "raw": "1"}, 400},
		{"no body", object{"channels": []string{id}, "raw": ""}, 400},
		{"more than a publisher takes", object{"channels": []string{id}, "raw": strings.Repeat("x", 3<<20)}, 413},
		{"more than nginx takes", object{"channels": []string{id}, "raw": strings.Repeat("x", 8<<20)}, 413},
	} {
		c.task["do"], c.task["url"] = "text", url
		if r := inTime(t, c.task); r.Status != c.status || r.Error != "" || r.MS >= soon {
			t.Errorf("%s: status %d, error %q after %.0f ms; want %d", c.name, r.Status, r.Error, r.MS, c.status)
		}
	}
}

// TestTextStatistics: the portal asks who is online with a GET that has a body.
func TestTextStatistics(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	here, there, nowhere := e2e.NewChannel(), e2e.NewChannel(), e2e.NewChannel()
	read(t, w, here)
	read(t, w, there)
	ask := func(channels ...channel.ID) result {
		t.Helper()
		list := []string{}
		for _, id := range channels {
			list = append(list, id.String())
		}
		r := run[result](t, object{"do": "text statistics", "url": "http://" + w.Internal + "/bitrix/pub/", "channels": list})
		r.accepted(t)
		return r
	}
	// An edge writes presence a moment after its sessions came.
	want := []string{there.String(), here.String()}
	var r result
	if !testkit.Wait(func() bool { r = ask(there, nowhere, here); return slices.Equal(r.Online, want) }) {
		t.Errorf("online are %v, want %v; the answer was %s", r.Online, want, r.Body)
	}
	if r := ask(nowhere); len(r.Online) != 0 || r.Body != `{ "infos": []}` {
		t.Errorf("%q", r.Body)
	}
}

// TestLogAway: while Redis does not answer, the portal gets an answer in time for each of its
// transports, and goes on. Afterwards posts are accepted again.
func TestLogAway(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	id := e2e.NewChannel()
	there := read(t, w, id)
	task := object{"do": "text", "url": "http://" + w.Internal + "/bitrix/pub/", "channels": []string{id.String()}, "message": message(1, object{"text": text})}
	first := run[result](t, task)
	first.accepted(t)
	if err := w.Redis.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	asked, quickest := false, float64(soon)
	for range 3 {
		r := run[result](t, object{"do": "text", "url": task["url"], "channels": task["channels"], "message": message(2, object{})})
		if r.Status != http.StatusServiceUnavailable || r.Error != "" {
			t.Errorf("the portal had status %d, error %q after %.0f ms; want 503", r.Status, r.Error, r.MS)
		}
		// A busy machine may be late once. A publisher that waits too long is always late.
		quickest = min(quickest, r.MS)
		asked = asked || r.Headers["retry-after"] != ""
	}
	if !asked || quickest == soon {
		t.Errorf("the answers had Retry-After: %v; the quickest answer took %.0f ms", asked, quickest)
	}
	t.Logf("the quickest answer took %.0f ms", quickest)
	if err := w.Redis.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var last result
	testkit.Wait(func() bool { last = run[result](t, task); return last.Status == http.StatusOK })
	last.accepted(t)
	// Posts that the publisher gave up may arrive too: Redis may have received them.
	if !testkit.Wait(func() bool {
		got := there.Arrivals()
		return len(got) > 1 && got[len(got)-1].Body == string(last.Sent)
	}) {
		t.Errorf("of the %d messages that arrived, the last is not the one posted last", there.Arrived())
	}
}

// TestSelfTest is the portal's own check of its push server.
func TestSelfTest(t *testing.T) {
	w := e2e.Start(t, e2e.Options{Bin: bin, Edges: 1, Publishers: 1})
	id := e2e.NewChannel()
	r := run[struct {
		OK   bool
		Read string
		Post result
	}](t, object{"do": "self-test", "listener": "http://" + w.Public + "/bitrix/sub/", "url": "http://" + w.Internal + "/bitrix/pub/",
		"channel": id.String(), "signed": w.Signed(id)})
	r.Post.accepted(t)
	if !r.OK {
		t.Errorf("the portal read %q", r.Read)
	}
}
