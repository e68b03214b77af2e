package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/config"
	"pushgate/internal/ops"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) {
	logging.Disable() // the tests make Redis fail
	testkit.Main(m)
}

const password = "the-password-of-redis"

// program is an edge or a publisher built as by [RunEdge] and [RunPublisher], on real listeners of
// this process.
type program struct {
	addr, admin string
	registry    *prometheus.Registry
}

// world has one edge and one publisher over a Redis in memory.
type world struct {
	clients         int // requests to the edge by do; each has its own address
	t               *testing.T
	redis           *miniredis.Miniredis
	rdb             *redis.Client
	portals         string          // path
	log             *testkit.Buffer // what both programs log
	edge, publisher program
}

// start runs a world until the test ends. portals is the text of the file of portals.
func start(t *testing.T, portals string, environ ...string) *world {
	t.Helper()
	w := &world{t: t, redis: miniredis.RunT(t), portals: filepath.Join(t.TempDir(), "portals.json"), log: new(testkit.Buffer)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("both programs logged:\n%s", w.log)
		}
	})
	w.redis.RequireAuth(password)
	w.rdb = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), Password: password})
	t.Cleanup(func() { w.rdb.Close() })
	w.write(portals)
	environ = append([]string{"PUSHGATE_PORTALS=" + w.portals, "PUSHGATE_REDIS_URL=redis://:" + password + "@" + w.redis.Addr(),
		"PUSHGATE_LISTEN=127.0.0.1:0", "PUSHGATE_LOG_LEVEL=debug", "PUSHGATE_DRAIN=0s"}, environ...)
	ctx, leave := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { leave(); running.Wait() })
	serve := func(s ops.Service) (p program) {
		started := make(chan struct{})
		s.Started = func(addr, admin net.Addr) {
			p.addr, p.admin = addr.String(), admin.String()
			close(started)
		}
		running.Go(func() {
			if err := s.Serve(ctx); err != nil {
				t.Error(err)
			}
		})
		<-started
		p.registry = s.Admin.Registry
		return p
	}

	edgeConfig, err := config.LoadEdge(environ)
	w.must(err)
	logger := ops.NewLogger(w.log, edgeConfig.LogFormat, edgeConfig.LogLevel)
	registry := ops.NewRegistry()
	st, closeStore, err := Open(edgeConfig.Common, logger, registry)
	w.must(err)
	t.Cleanup(closeStore)
	table, err := edgeConfig.Portals()
	w.must(err)
	e := NewEdge(edgeConfig, table, st, nil, logger, registry)
	w.edge = serve(ops.Service{Name: "edge", Listen: edgeConfig.Listen, Admin: ops.Admin{Listen: edgeConfig.AdminListen, Registry: registry}, Port: e, Ready: e.Ready,
		Run: e.Run, Leaving: ops.Leaving{Drain: e.Drain, Timeout: time.Second}, Reload: base{}.reload(edgeConfig.Portals, e), Logger: logger})

	publisherConfig, err := config.LoadPublisher(environ)
	w.must(err)
	registry = ops.NewRegistry()
	st, closeStore, err = Open(publisherConfig.Common, logger, registry)
	w.must(err)
	t.Cleanup(closeStore)
	p := NewPublisher(publisherConfig, table, st, nil, logger, registry)
	w.publisher = serve(ops.Service{Name: "publisher", Listen: publisherConfig.Listen, Port: rawPort{ops.NewPort(p.Handler(), registry, logger)},
		Ready: p.Ready, Reload: base{}.reload(publisherConfig.Portals, p), Admin: ops.Admin{Listen: publisherConfig.AdminListen, Registry: registry}, Logger: logger})
	testkit.Eventually(w.t, "ready", func() bool {
		return strings.Contains(w.get(w.edge.admin, "/readyz"), "ok") && strings.Contains(w.get(w.publisher.admin, "/readyz"), "ok")
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// write replaces the file of portals.
func (w *world) write(portals string) {
	w.t.Helper()
	w.must(os.WriteFile(w.portals, []byte(portals), 0o600))
}

// get returns the body of an answer of any status.
func (w *world) get(addr, path string) string {
	w.t.Helper()
	_, body := w.do(http.MethodGet, addr, path, "")
	return body
}

// do makes a request that seems to come from the internet; header has pairs of name and value.
func (w *world) do(method, addr, path, body string, header ...string) (status int, answer string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr, strings.NewReader(body))
	w.must(err)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	r.Close = true
	if addr == w.edge.addr { // repeated refusals of one client are answered late
		w.clients++
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", w.clients/256, w.clients%256))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp.StatusCode, string(text)
}

// dial makes a WebSocket.
func (w *world) dial(query string, header ...string) (*websocket.Conn, error) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+w.edge.addr+"/bitrix/subws/?"+query, &websocket.DialOptions{HTTPHeader: h})
	return conn, err
}

// subscribed waits until the edge has n WebSockets: it answers a handshake before it attaches the
// session.
func (w *world) subscribed(n float64) {
	w.t.Helper()
	testkit.Eventually(w.t, "subscribed", func() bool { return w.edge.metric(w.t, "pushgate_connections", "websocket") == n })
}

// say sends a frame on a new WebSocket and returns the answer, or how the connection ended.
func (w *world) say(query string, kind websocket.MessageType, frame string) string {
	w.t.Helper()
	conn, err := w.dial(query)
	w.must(err)
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if frame != "" {
		w.must(conn.Write(ctx, kind, []byte(frame)))
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// read reads one frame.
func (w *world) read(conn *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	_, frame, err := conn.Read(ctx)
	return string(frame), err
}

// raw sends bytes to a program and returns the first line of its answer; empty if it closed the
// connection without one.
func (w *world) raw(p program, sent string) (line string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	w.must(err)
	defer conn.Close()
	w.must(conn.SetDeadline(time.Now().Add(15 * time.Second)))
	// The write fails if the program refuses the request before it has read everything.
	_, _ = io.WriteString(conn, sent)
	line, _ = bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// metric returns the sum of the series of a counter or gauge whose first label has the value label,
// or of all series if label is empty.
func (p program) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	sum, _ := testkit.Metric(t, p.registry, name, label)
	return sum
}

// onePortal returns the file of a personal portal.
func onePortal(keys ...string) string {
	return fmt.Sprintf(`{"portals": [{"keys": ["%s"]}]}`, strings.Join(keys, `", "`))
}
