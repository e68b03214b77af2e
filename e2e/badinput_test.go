package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

// vectorPrograms builds programs that accept the vectors' key, which is a published one.
var vectorPrograms = sync.OnceValues(func() (dir string, err error) {
	dir = filepath.Join(bin, "vectors") // which TestMain removes
	return dir, BuildTags(dir+"/", "testvectors", ".", "./cmd/edge", "./cmd/publisher")
})

// badWorld is a world whose signer has the vectors' key. Its second edge answers in the texts of
// the first generation, and gets its requests directly.
func badWorld(t *testing.T) (w, old *World, v vectors.Vectors) {
	t.Helper()
	v = vectors.Load(t)
	env := func(grammar, key string) []string {
		return []string{"PUSHGATE_CHANNEL_GRAMMAR=" + grammar, "PUSHGATE_KEYS=" + key, "PUSHGATE_LOG_LEVEL=debug"}
	}
	programs, err := vectorPrograms()
	if err != nil {
		t.Fatal(err)
	}
	edgeEnv := []string{"PUSHGATE_POLL_TIMEOUT=500ms", "PUSHGATE_DRAIN=100ms"}
	w = Start(t, Options{Bin: programs, Edges: 1, Publishers: 1, Env: env("2", v.Parsing.Generation2.Key), EdgeEnv: edgeEnv})
	// The first generation's vectors have a key that is too short to be accepted; the signature is
	// the only thing that depends on it.
	old = Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, Env: env("1", Key), EdgeEnv: edgeEnv})
	return w, old, v
}

// TestRefusals makes every request that is refused according to the vectors, through nginx, and
// expects their answer to the byte.
func TestRefusals(t *testing.T) {
	t.Parallel() // refused clients wait
	w, old, v := badWorld(t)
	g := v.Parsing.Generation2
	signer, err := sign.New(g.Algo, []byte(g.Key))
	if err != nil {
		t.Fatal(err)
	}
	one, public := NewChannel(), NewChannel()
	signed := signer.Sign(channel.Ref{Private: one}).String()
	pub := func(w *World) string { return "http://" + w.Internal + "/bitrix/pub/" }
	sub := func(w *World) string { return "http://" + w.Public + "/bitrix/sub/" }
	mid := newestID(t, w, signer) // an id that the log has not assigned would make a gap

	requests := map[string]struct {
		method, url, body string
		fill              map[string]string // headers whose value the vectors describe in words
	}{
		"1 POST pub, no CHANNEL_ID, body \"hello\"":           {"POST", pub(w), "hello", nil},
		"1 POST pub?CHANNEL_ID=valid, empty body":             {"POST", pub(w) + "?CHANNEL_ID=" + one.String(), "", nil},
		"1 POST pub?CHANNEL_ID=zz":                            {"POST", pub(w) + "?CHANNEL_ID=zz", "hello", nil},
		"1 GET sub, unsigned id":                              {"GET", sub(old) + "?CHANNEL_ID=" + one.String(), "", nil},
		"1 GET sub, 40 s without messages, mid given":         {"GET", sub(w) + "?CHANNEL_ID=" + signed + "&mid=" + mid, "", map[string]string{"Last-Message-Id": mid}},
		"1 GET /server-stat/":                                 {"GET", "http://" + w.Internal + "/server-stat/", "", nil},
		"1 OPTIONS sub":                                       {"OPTIONS", sub(w), "", nil},
		"1 any unknown path or method (DELETE pub, POST sub)": {"DELETE", pub(w), "", nil},
		"1 GET sub, 40 s without messages, no mid, nothing stored (or newest message expired)": {
			"GET", sub(w) + "?CHANNEL_ID=" + signed, "", map[string]string{"Last-Message-Id": "any"}},
		"2 GET sub with bad signature (LP)":               {"GET", sub(w) + "?CHANNEL_ID=" + one.String() + "." + strings.Repeat("0", 40), "", nil},
		"2 GET sub with PUBLIC.sig(\"public:\"+PUBLIC)":   {"GET", sub(w) + "?CHANNEL_ID=" + public.String() + "." + signer.SignBody([]byte("public:"+public.String())), "", nil},
		"2 GET pub?CHANNEL_ID= (empty)":                   {"GET", pub(w) + "?CHANNEL_ID=", "", nil},
		"2 GET pub with 101 channels":                     {"GET", pub(w) + "?CHANNEL_ID=" + one.String() + strings.Repeat("/"+one.String(), 100), "", nil},
		"2 POST rest, unsigned CHANNEL_ID":                {"POST", "http://" + w.Public + "/bitrix/rest/?CHANNEL_ID=" + one.String() + ":" + public.String(), "x", nil},
		"2 POST rest larger than limits.maxPayload (pub)": {"POST", pub(w) + "?CHANNEL_ID=" + one.String(), strings.Repeat("x", 1<<20+1), nil},
	}
	asked := 0
	for _, c := range v.HTTP {
		name := fmt.Sprintf("%d %s", c.Generation, c.Request)
		if c.Request == "POST rest larger than limits.maxPayload" {
			name += " (pub)" // the same rule
		}
		r, ok := requests[name]
		if !ok {
			if !otherDialect(c.Request) {
				t.Errorf("nothing asks for %q", name)
			}
			continue
		}
		asked++
		t.Run(name, func(t *testing.T) { answers(t, w, c, r.method, r.url, r.body, r.fill) })
	}
	if asked != len(requests) {
		t.Errorf("%d of %d requests have an answer in the vectors", asked, len(requests))
	}
	missing := v.Answer(t, 1, "any unknown path")
	for _, r := range [][2]string{{"POST", sub(w)}, {"HEAD", sub(w)}, {"PUT", pub(w)}, {"PATCH", "http://" + w.Internal + "/server-stat/"}} {
		t.Run(r[0]+" "+r[1][len("http://127.0.0.1:12345"):], func(t *testing.T) { answers(t, w, missing, r[0], r[1], "", nil) })
	}
	t.Run("public listener", func(t *testing.T) {
		for _, path := range []string{"/", "/bitrix/pub/", "/pub/", "/server-stat/", "/metrics", "/bitrix/sub/../pub/", "/bitrix/sub/%2e%2e/pub/", "/bitrix/rest/../pub/", "/rest/", "/readyz"} {
			if status, _, err := w.Do(t.Context(), "POST", "http://"+w.Public+path+"?CHANNEL_ID="+one.String(), "x"); err != nil || status != http.StatusNotFound {
				t.Errorf("POST %s: %d, %v", path, status, err)
			}
		}
	})
}

// otherDialect reports whether a case of the vectors is of a dialect or a mode that is not
// supported.
func otherDialect(request string) bool {
	// Bodies: the publisher's own tests cover them.
	return strings.HasPrefix(request, "POST rest, serverStats") || strings.HasPrefix(request, "POST rest, stats") ||
		strings.HasPrefix(request, "POST rest, wrong") || strings.HasPrefix(request, "POST rest accepted") || strings.Contains(request, "shared mode") || strings.Contains(request, "maxConnPerChannel")
}

func answers(t *testing.T, w *World, want vectors.HTTP, method, url, body string, fill map[string]string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != want.Status || want.Shape == "" && string(text) != want.Body {
		t.Errorf("%d %q, want %d %q", got.StatusCode, text, want.Status, want.Body)
	}
	headers := maps.Clone(want.Headers)
	for name, value := range headers {
		if filled, ok := fill[name]; ok {
			value = filled
		}
		switch {
		case value == "any":
		case got.Header.Get(name) != value:
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
		case len(got.Header.Values(name)) > 1:
			t.Errorf("%s: %q", name, got.Header.Values(name))
		}
	}
}

// TestChannelLists sends every list of the vectors by every way in: polls and WebSockets of both
// generations, and posts.
func TestChannelLists(t *testing.T) {
	t.Parallel()
	w, old, v := badWorld(t)
	// All at a time, more than t.Parallel allows: a client that is refused again has to wait.
	var cases sync.WaitGroup
	defer cases.Wait()
	run := func(name string, f func(t *testing.T)) { cases.Go(func() { t.Run(name, f) }) }
	for _, c := range v.Parsing.Generation2.Cases {
		run("2/"+c.Description, func(t *testing.T) {
			for _, list := range []string{url.QueryEscape(c.ChannelID), c.Encoded, strings.ReplaceAll(c.ChannelID, " ", "%20")} {
				subscribes(t, w, list, c.Accepted(), vectors.OldResult{ErrorStatus: 400, ErrorBody: "4010: Wrong Channel Id."})
				status, body, err := w.Do(t.Context(), "POST", "http://"+w.Internal+"/bitrix/pub/?CHANNEL_ID="+list, "x")
				if want := len(c.PublishText) > 0; err != nil || (status == 200) != want || !want && status != 400 {
					t.Errorf("posting to %s: %d %q, %v", list, status, body, err)
				}
			}
		})
	}
	for _, c := range v.Parsing.Generation1.Cases {
		run("1/"+c.Description, func(t *testing.T) {
			list := c.ChannelID
			if len(c.Subscribe.Channels) > 0 { // by a key that is long enough
				list = old.Signed(ids(c.Subscribe.Channels)...)
			}
			subscribes(t, old, list, len(c.Subscribe.Channels) > 0, c.Subscribe)
			status, body, err := old.Do(t.Context(), "POST", "http://"+old.Internal+"/bitrix/pub/?CHANNEL_ID="+list, "x")
			want := vectors.OldResult{ErrorStatus: 200}
			if c.Publish.ErrorStatus != 0 {
				want = c.Publish
			}
			if err != nil || status != want.ErrorStatus || body != want.ErrorBody {
				t.Errorf("posting to %s: %d %q, %v", list, status, body, err)
			}
		})
	}
}

func ids(texts []string) (ids []channel.ID) {
	for _, text := range texts {
		ids = append(ids, testkit.ParseChannel(text))
	}
	return ids
}

// subscribes tries a list by both transports. A poll of a good one is answered 304 when its time is
// up, or 200 if something is there.
func subscribes(t *testing.T, w *World, list string, good bool, refusal vectors.OldResult) {
	t.Helper()
	status, body, err := w.Do(t.Context(), "GET", "http://"+w.Public+"/bitrix/sub/?CHANNEL_ID="+list, "")
	if good && (err != nil || status != 304 && status != 200) || !good && (status != refusal.ErrorStatus || body != refusal.ErrorBody) {
		t.Errorf("polling %s: %d %q, %v", list, status, body, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+w.Public+"/bitrix/subws/?CHANNEL_ID="+list, nil)
	if err != nil {
		t.Fatalf("WebSocket %s: the handshake must succeed, also for a bad list: %v", list, err)
	}
	defer conn.CloseNow()
	if good {
		// Not CloseRead of the library: it treats a message, such as the note of a gap, as an
		// error.
		var reading sync.WaitGroup
		reading.Go(func() {
			for err := error(nil); err == nil; {
				_, _, err = conn.Read(ctx)
			}
		})
		if err := conn.Ping(ctx); err != nil {
			t.Errorf("WebSocket %s: %v", list, err)
		}
		conn.CloseNow()
		reading.Wait()
		return
	}
	_, _, err = conn.Read(ctx)
	var end websocket.CloseError
	if !errors.As(err, &end) || end.Code != 4010 || end.Reason != "4010: Wrong Channel Id." {
		t.Errorf("WebSocket %s: %v", list, err)
	}
}

// TestLargeFrame: what a client sends is ignored, but its length is limited.
func TestLargeFrame(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_DRAIN=100ms"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+w.Public+"/bitrix/subws/?CHANNEL_ID="+w.Signed(NewChannel()), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, size := range []int{0, 1, 1 << 10, 1 << 20} {
		if err := conn.Write(ctx, websocket.MessageText, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Write(ctx, websocket.MessageBinary, make([]byte, 1<<20+1)); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log(err)
	}
	if _, _, err = conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("after a frame larger than the limit: %v", err)
	}
}

// TestConnectURLs connects with the exact queries of the clients of the text dialect.
func TestConnectURLs(t *testing.T) {
	w, _, v := badWorld(t)
	tried := 0
	for _, c := range v.ConnectURLs {
		list, ok := strings.CutPrefix(c.Query, "CHANNEL_ID=")
		if !ok || strings.Contains(c.Query, "binaryMode") {
			continue // other dialects
		}
		tried++
		t.Run(c.Client, func(t *testing.T) { subscribes(t, w, list, true, vectors.OldResult{}) })
	}
	if tried < 2 {
		t.Errorf("%d queries tried", tried)
	}
}

// newestID returns the id of a message that it publishes to a channel of its own.
func newestID(t *testing.T, w *World, signer *sign.Signer) string {
	t.Helper()
	call := fmt.Sprintf(`{"jsonrpc":"2.0","method":"publish","params":{"channelList":["%s"],"body":{}}}`, NewChannel())
	status, text, err := w.Do(t.Context(), http.MethodPost, "http://"+w.Internal+"/bitrix/api/?hostId=x&signature="+signer.SignBody([]byte(call)), call)
	id := regexp.MustCompile(`\d{26}`).FindString(string(text))
	if err != nil || status != http.StatusOK || id == "" {
		t.Fatalf("%v %d %s", err, status, text)
	}
	return id
}
