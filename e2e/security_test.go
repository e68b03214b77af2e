package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
)

// TestNginxTellsNoSecret kills edges and publishers behind nginx. nginx logs that they are down,
// but no secret of the requests.
func TestNginxTellsNoSecret(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=100ms"}})
	id := NewChannel()
	list := w.Signed(id)
	signature := w.Signer.SignBody([]byte("hello"))
	ask := func() {
		t.Helper()
		for _, url := range []string{"/bitrix/sub/?CHANNEL_ID=" + list, "/bitrix/subws/?CHANNEL_ID=" + list, "/bitrix/sse/?CHANNEL_ID=" + list + "x"} {
			if _, _, err := w.Do(t.Context(), "GET", "http://"+w.Public+url, ""); err != nil {
				t.Error(err)
			}
		}
		for _, url := range []string{w.Internal + "/bitrix/pub/?CHANNEL_ID=" + list + "&signature=" + signature, w.Internal + "/bitrix/api/?signature=" + signature,
			w.Public + "/bitrix/rest/?CHANNEL_ID=" + list} {
			// Too large, if anybody looks.
			if _, _, err := w.Do(t.Context(), "POST", "http://"+url, strings.Repeat("x", 5<<20)); err != nil {
				t.Error(err)
			}
			if _, _, err := w.Do(t.Context(), "POST", "http://"+url, "hello"); err != nil {
				t.Error(err)
			}
		}
		if conn, _, err := websocket.Dial(t.Context(), "ws://"+w.Public+"/bitrix/subws/?CHANNEL_ID="+list, nil); err == nil {
			defer conn.CloseNow()
		}
	}
	ask()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+w.Public+"/bitrix/subws/?CHANNEL_ID="+list, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, p := range append(w.Edges, w.Publishers...) {
		p.Kill()
		ask()
	}
	var logs strings.Builder
	for _, name := range []string{"error.log", "pushgate.log"} {
		text, err := os.ReadFile(filepath.Join(w.dir, "nginx", name))
		if err != nil {
			t.Fatal(err)
		}
		logs.Write(text)
	}
	text := logs.String() + string(w.Nginx.Log())
	for what, secret := range map[string]string{"a channel": id.String(), "its signature": strings.Split(list, ".")[1], "a post's signature": signature} {
		if i := strings.Index(text, secret[:8]); i >= 0 {
			t.Errorf("%s is in the log: …%s…", what, text[max(0, i-200):min(len(text), i+50)])
		}
	}
	for _, gone := range append(w.Edges, w.Publishers...) {
		if !strings.Contains(text, "upstream="+gone.Addr) && !strings.Contains(text, ", "+gone.Addr) {
			t.Errorf("the log does not have that %s is down:\n%s", gone.Name, text)
		}
	}
	for _, p := range append(w.Edges, w.Publishers...) {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOriginsThroughNginx: with a list of origins, pages of other hosts can neither open a
// WebSocket nor read a poll or a stream. Clients that are not pages have no origin.
func TestOriginsThroughNginx(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_ORIGINS=portal.example.com,*.example.org,https://secure.example.net", "PUSHGATE_DRAIN=100ms", "PUSHGATE_POLL_TIMEOUT=100ms"}})
	query := "/?CHANNEL_ID=" + w.Signed(NewChannel())
	for origin, allowed := range map[string]bool{
		// Its own host.
		"": true, "https://portal.example.com": true, "https://PORTAL.example.com": true, "https://a.example.org": true, "http://127.0.0.1": true,
		"https://secure.example.net": true, "http://secure.example.net": false,
		"https://evil.test": false, "https://example.org": false, "https://portal.example.com.evil.test": false, "https://evil.test/portal.example.com": false, "null": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, _, err := websocket.Dial(t.Context(), "ws://"+w.Public+"/bitrix/subws"+query, &websocket.DialOptions{HTTPHeader: header})
		if (err == nil) != allowed {
			t.Errorf("WebSocket from %q: %v", origin, err)
		}
		if err == nil {
			conn.CloseNow()
		}
		for _, path := range []string{"/bitrix/sub", "/bitrix/sse"} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.Public+path+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = header
			resp, err := w.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close() // a stream has no end
			cancel()
			if (resp.StatusCode == http.StatusForbidden) == allowed {
				t.Errorf("%s from %q: %s", path, origin, resp.Status)
			}
		}
	}
	if n, err := w.Edges[0].Metric(t.Context(), "pushgate_origins_refused_total"); err != nil || n != 6*3 {
		t.Errorf("%v refused, %v", n, err)
	}
}

// TestKeyRotation changes the key of a personal portal under its open connection, without a
// restart. Each key is valid from when it is in the file until it is removed, for everything that
// it signs. A broken file changes nothing.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	const before, after = "the key that is going away", "the key that is to come"
	path := filepath.Join(t.TempDir(), "portals.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := func(keys ...string) string {
		return fmt.Sprintf(`{"portals": [{"keys": ["%s"]}]}`, strings.Join(keys, `", "`))
	}
	write(file(before))
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=100ms"},
		Env: []string{"PUSHGATE_KEYS=", "PUSHGATE_PORTALS=" + path, "PUSHGATE_PUBLISH_SIGNED=true"}})
	id := NewChannel()
	list := func(key string) string { return testkit.Signer(key).Sign(channel.Ref{Private: id}).String() }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+w.Public+"/bitrix/subws/?CHANNEL_ID="+list(before), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()

	reloads := map[string]float64{}
	reload := func(outcome string) {
		t.Helper()
		reloads[outcome]++
		for _, p := range append(w.Edges, w.Publishers...) {
			if err := p.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			if err := p.Await(ctx, func(ctx context.Context) error {
				n, err := p.Metric(ctx, `pushgate_reloads_total{outcome="`+outcome+`"}`)
				if err == nil && n != reloads[outcome] {
					err = fmt.Errorf("%v reloads %s", n, outcome)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for step, c := range []struct {
		file    string
		outcome string // of reading it; empty: it is not read
		good    []string
		bad     []string
	}{
		{file(before), "", []string{before}, []string{after}},
		{file(before, after), "done", []string{before, after}, nil},
		{file(after, before), "done", []string{before, after}, nil},
		{file(after)[:20], "failed", []string{before, after}, nil},
		{file("short"), "failed", []string{before, after}, nil},
		{file(after), "done", []string{after}, []string{before}},
	} {
		if c.outcome != "" {
			write(c.file)
			reload(c.outcome)
		}
		for i, key := range append(c.good, c.bad...) {
			s, good := testkit.Signer(key), i < len(c.good)
			body := fmt.Sprintf(`{"module_id":"im","command":"step","params":{"n":"%d-%d"}}`, step, i)
			call := `{"jsonrpc":"2.0","method":"publish","params":{"userList":[6],"body":` + body + `}}`
			token := s.SignToken(sign.Token{User: 5, Expires: time.Now().Add(time.Hour)}, "", time.Now())
			own := s.Sign(channel.Ref{Private: id, Public: NewChannel()}).String()
			for _, r := range []struct {
				what, method, url, body string
				good, bad               int
			}{
				{"post", "POST", w.Internal + "/bitrix/pub/?CHANNEL_ID=" + id.String() + "&signature=" + s.SignBody([]byte(body)), body, 200, 403},
				{"call", "POST", w.Internal + "/bitrix/api/?signature=" + s.SignBody([]byte(call)), call, 200, 400},
				{"question", "GET", w.Internal + "/bitrix/pub/?CHANNEL_ID=" + id.String() + "&signature=" + s.SignBody([]byte(id.String())), "", 200, 403},
				{"poll", "GET", w.Public + "/bitrix/sub/?CHANNEL_ID=" + list(key), "", 304, 400},
				{"poll with a token", "GET", w.Public + "/bitrix/sub/?token=" + token, "", 304, 400},
				// Recognised by its text.
				{"batch of a client", "POST", w.Public + "/bitrix/rest/?CHANNEL_ID=" + own, "", 400, 400},
			} {
				want := r.good
				if !good {
					want = r.bad
				}
				status, text, err := w.Do(ctx, r.method, "http://"+r.url, r.body)
				if err != nil || status != want || r.what == "batch of a client" && strings.HasPrefix(text, "4012") == good {
					t.Errorf("step %d, %s by %q: %d %q, %v; want %d", step, r.what, key, status, text, err, want)
				}
				if r.what != "post" || !good {
					continue
				}
				// The connection has survived every change. When it has received the post, its edge
				// has too; an earlier poll would receive the post.
				if _, frame, err := conn.Read(ctx); err != nil || !strings.Contains(string(frame), fmt.Sprintf("%d-%d", step, i)) {
					t.Fatalf("step %d: %q, %v", step, frame, err)
				}
			}
		}
	}
}
