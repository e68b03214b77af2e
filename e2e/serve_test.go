package e2e

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// startServing runs "pushgate serve" over a Redis of its own until the test ends. env returns its
// variables.
func startServing(t *testing.T, env func(redis, serve string) []string) (w *World, port string) {
	t.Helper()
	w = Empty(t)
	if err := Build(w.dir, ".", "./cmd/pushgate"); err != nil {
		t.Fatal(err)
	}
	ports, block, err := takePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	w.ports = block
	addr := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	redis, err := w.server(Options{AOF: true}, "redis", addr(0))
	if err != nil {
		t.Fatal(err)
	}
	serve := &Process{Name: "serve", Addr: addr(1), Admin: "http://" + addr(2), world: w, argv: []string{filepath.Join(w.dir, "pushgate"), "serve"},
		env: append(env(addr(0), addr(1)), "PUSHGATE_ADMIN_LISTEN="+addr(2), "PUSHGATE_DRAIN=300ms")}
	serve.ready = func(ctx context.Context) error { _, err := get(ctx, serve.Admin+"/readyz"); return err }
	w.Edges = []*Process{serve}
	for _, p := range []*Process{redis, serve} {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.Public, w.Internal = serve.Addr, serve.Addr
	if err := w.SetKey(Key); err != nil {
		t.Fatal(err)
	}
	return w, addr(3)
}

// TestServeAsTheOriginalIsStarted: with the variables of the original's images and without nginx,
// one process passes the portal's self-test, delivers, and leaves.
func TestServeAsTheOriginalIsStarted(t *testing.T) {
	t.Parallel()
	w, _ := startServing(t, func(redis, serve string) []string {
		redisHost, redisPort, _ := net.SplitHostPort(redis)
		host, port, _ := net.SplitHostPort(serve)
		return []string{"MODE=all", "LISTEN_HOSTNAME=" + host, "LISTEN_PORT=" + port, "REDIS_HOST=" + redisHost, "REDIS_PORT=" + redisPort,
			"SECURITY_KEY=" + Key, "PUB_URI=/bitrix/pub", "SUB_URI=/bitrix/subws/", "REST_URI=/bitrix/rest/"}
	})
	SelfTest(t, w)
	w.servesAndLeaves(t, "http://"+w.Public, http.DefaultClient)
}

// TestServeBehindNginx: the portal's nginx, with TLS and the files that docs/install/serve.md
// names, passes the paths of browsers on to one process, and nothing else. The portal posts to the
// process itself.
func TestServeBehindNginx(t *testing.T) {
	t.Parallel()
	w, public := startServing(t, func(redis, serve string) []string {
		return []string{"PUSHGATE_KEYS=" + Key, "PUSHGATE_REDIS_URL=redis://" + redis + "/0", "PUSHGATE_LISTEN=" + serve}
	})
	client := w.startPortalsNginx(t, public)
	site := "https://" + public
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"POST", "/bitrix/rest/?CHANNEL_ID=" + w.Signed(NewChannel()), 400, "4012: Public Channel Id is Required."},
		{"POST", "/bitrix/pub/?CHANNEL_ID=" + NewChannel().String(), 200, "the portal"},
		{"GET", "/server-stat/", 200, "the portal"},
		{"POST", "/bitrix/rest/../pub/?CHANNEL_ID=" + NewChannel().String(), 200, "the portal"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, site, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = "//" + public + c.path // as it is
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != c.status || string(text) != c.want {
			t.Errorf("%s %s: %v %d %q", c.method, c.path, err, answer.StatusCode, text)
		}
	}
	if published, err := w.Edges[0].Metric(t.Context(), "pushgate_published_total"); err != nil || published != 0 {
		t.Errorf("%v posts came through nginx, %v", published, err)
	}
	w.servesAndLeaves(t, site, client)
}

// startPortalsNginx runs the nginx of a portal with TLS, beside whose own pages there are those of
// the installation, and returns a client that trusts it.
func (w *World) startPortalsNginx(t *testing.T, public string) *http.Client {
	t.Helper()
	dir := w.dir + "/nginx"
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(Repository(), "nginx"))); err != nil {
		t.Fatal(err)
	}
	upstreams, err := os.ReadFile(dir + "/pushgate/upstreams.conf")
	if err != nil {
		t.Fatal(err)
	}
	upstreams = regexp.MustCompile(`server 127\.0\.0\.1:\d+`).ReplaceAll(upstreams, []byte("server "+w.Edges[0].Addr))
	proxy, err := os.ReadFile(dir + "/pushgate/proxy.conf")
	if err != nil {
		t.Fatal(err)
	}
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	pair := certified.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pushgate/upstreams.conf": string(upstreams),
		"pushgate/proxy.conf":     strings.ReplaceAll(string(proxy), "/var/log/nginx/", dir+"/"),
		"cert.pem":                string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		"key.pem":                 string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"nginx.conf": fmt.Sprintf(`pid nginx.pid; error_log error.log; events {}
http {
    access_log off; %s
    include pushgate/maps.conf;
    include pushgate/log.conf;
    include pushgate/upstreams.conf;
    server {
        listen %s ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        include pushgate/sub.conf;
        include pushgate/rest.conf;
        location / { return 200 "the portal"; }
    }
}`, temporary(dir), public),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: certified.Client().Transport.(*http.Transport).TLSClientConfig}}
	t.Cleanup(client.CloseIdleConnections)
	err = w.runNginx(t.Context(), dir, public, func(context.Context) error {
		answer, err := client.Get("https://" + public + "/")
		if err == nil {
			answer.Body.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// servesAndLeaves has a WebSocket and a poll at a site receive a post, and then asks the only
// process to leave: both clients are asked to reconnect, and it ends with exit code 0.
func (w *World) servesAndLeaves(t *testing.T, site string, client *http.Client) {
	t.Helper()
	id := NewChannel()
	socket, _, err := websocket.Dial(t.Context(), site+"/bitrix/subws/?CHANNEL_ID="+w.Signed(id), &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	polled := make(chan string, 1)
	poll := func() {
		answer, err := client.Get(site + "/bitrix/sub/?CHANNEL_ID=" + w.Signed(id))
		if err != nil {
			polled <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		polled <- fmt.Sprint(answer.StatusCode, " ", string(text), err)
	}
	go poll()
	w.await(t, webSockets, 1)
	w.await(t, longPolls, 1)
	const body = `{"module_id":"im","command":"message","params":{"text":"served"}}`
	if status, err := w.Post(t.Context(), body, true, id); err != nil {
		t.Fatalf("%d %v", status, err)
	}
	if _, frame, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(frame), body) {
		t.Errorf("the WebSocket received %q, %v", frame, err)
	}
	if got := <-polled; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, body) {
		t.Errorf("the poll was answered %q", got)
	}

	go poll()
	w.await(t, longPolls, 1)
	closed := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(context.WithoutCancel(t.Context()))
		closed <- err
	}()
	if err := w.Edges[0].Stop(); err != nil {
		t.Error(err)
	}
	if err := <-closed; websocket.CloseStatus(err) != 3000 {
		t.Errorf("the WebSocket ended with %v, want a close with 3000", err)
	}
	if got := <-polled; !strings.HasPrefix(got, "304 ") {
		t.Errorf("the poll was answered %q, want 304", got)
	}
}
