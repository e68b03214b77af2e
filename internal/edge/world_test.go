package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/edge/front"
	"pushgate/internal/netpoll"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/tally"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleServer) != "" {
		serveIdle()
	}
	testkit.Main(m)
}

var (
	alice  = testkit.Channel(1)
	bob    = testkit.Channel(2)
	signer = testkit.Signer("a key of the tests")
)

// Values that docs/protocol.md and docs/guarantees.md promise.
const (
	writeTimeout   = 10 * time.Second
	answerTimeout  = front.WriteTimeout
	closeTimeout   = 5 * time.Second
	messageTimeout = 30 * time.Second
	firstBuffer    = 512
	smallBuffer    = 8 << 10
	frameInterval  = 20 * time.Millisecond
	frameBurst     = 500 * frameInterval
	pingFrame      = "\x89\x07ws ping"
)

// signed returns the CHANNEL_ID value of some private ids.
func signed(ids ...channel.ID) string {
	var parts []string
	for _, id := range ids {
		parts = append(parts, signer.Sign(channel.Ref{Private: id}).String())
	}
	return strings.Join(parts, "/")
}

// settings are those of an edge and of its only portal.
type settings struct {
	Config
	portal.Portal
	Commands Commands         // of the portal
	Logs     map[string]Log   // of some portals
	Others   []*portal.Portal // that are served besides, or instead if the portal has no signer
	Lines    io.Writer        // of the log; nil: they are dropped
}

// table returns the portals.
func (s *settings) table() *portal.Table {
	portals := s.Others
	if s.Signer != nil {
		portals = append(portals, &s.Portal)
	}
	table, err := portal.NewTable(portals...)
	if err != nil {
		panic(err)
	}
	return table
}

// edgeOf makes an edge over a log in memory. Portals without a log of their own share it.
func edgeOf(s settings, log *storetest.Memory, reg prometheus.Registerer) *Edge {
	return edgeOn(s, log, reg, netpoll.New)
}

func edgeOn(s settings, log *storetest.Memory, reg prometheus.Registerer, conns func(func(func())) *netpoll.Set) *Edge {
	if s.Commands != nil {
		s.Config.Commands = func(*portal.Portal) Commands { return s.Commands }
	}
	logs := func(name string) Log {
		if other := s.Logs[name]; other != nil {
			return other
		}
		return log
	}
	logger := slog.New(slog.DiscardHandler)
	if s.Lines != nil {
		logger = slog.New(slog.NewTextHandler(s.Lines, nil))
	}
	return newEdge(s.Config, s.table(), logs, log, logger, reg, conns)
}

// personal returns the only tenant of an edge.
func (e *Edge) personal() *tenant { return e.tenants[portal.Default] }

// world is an edge on a network of pipes, with a log in memory. It is made and used inside a
// synctest bubble.
type world struct {
	t        *testing.T
	settings settings
	edge     *Edge
	log      *storetest.Memory
	listener *pipeListener
	metrics  *prometheus.Registry
	http     *http.Client
	stop     func() // ends the edge, and waits for it
}

// inWorld runs test in a bubble with a running edge, and stops everything at the end: once with
// connections that rest, and once with those that keep a goroutine.
func inWorld(t *testing.T, change func(*settings), test func(*testing.T, *world)) {
	t.Run("resting", func(t *testing.T) { inWorldOf(t, newRestingPipe, change, test) })
	t.Run("plain", func(t *testing.T) { inWorldOf(t, newPipe, change, test) })
}

func inWorldOf(t *testing.T, pipe func() (net.Conn, net.Conn), change func(*settings), test func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) {
		config := settings{
			Config: Config{ID: "edge-1", PollTimeout: 40 * time.Second, PingInterval: 25 * time.Second, Drain: 10 * time.Second, Origins: []string{"*"}},
			Portal: portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 100}},
		}
		if change != nil {
			change(&config)
		}
		w := &world{t: t, log: storetest.NewMemory(store.Config{}), listener: newPipeListener(pipe), metrics: prometheus.NewRegistry()}
		config.Book = tally.NewBook(config.ID, limits, time.FixedZone("east", 5*3600))
		if config.Commands == nil && config.Signer != nil {
			config.Commands = command.New(command.Config{Signer: signer, Tally: config.Book.Of(portal.Default)}, w.log, nil)
		}
		w.settings = config
		w.edge = edgeOf(config, w.log, w.metrics)
		transport := &http.Transport{DialContext: w.listener.dial}
		w.http = &http.Client{Transport: transport}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.edge.Serve(w.listener) })
		ended := make(chan struct{})
		running.Go(func() { w.edge.Run(ctx); close(ended) })
		w.stop = func() { stop(); <-ended }
		synctest.Wait()
		test(t, w)
		// A handler may still be at work on an upgrade whose answer the client has already read.
		time.Sleep(time.Nanosecond)
		w.listener.Close()
		// The end of an idle connection starts a goroutine, and must not meet Run's wait for the
		// last.
		transport.CloseIdleConnections()
		synctest.Wait()
		stop()
		transport.CloseIdleConnections()
		running.Wait()
	})
}

func (w *world) url(path, channels string, more ...string) string {
	query := url.Values{"CHANNEL_ID": {channels}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return "http://push.test" + path + "?" + query.Encode()
}

// publish appends a message with a body to channels, and waits until it has been delivered.
func (w *world) publish(body string, channels ...channel.ID) *proto.Message {
	return w.append(&proto.Message{Receivers: channels, Body: []byte(body), TTL: time.Hour})
}

func (w *world) append(m *proto.Message) *proto.Message {
	w.t.Helper()
	m.Created = time.Now()
	receipts, err := w.log.Append(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	m.ID = receipts[0].ID
	synctest.Wait()
	return m
}

// get starts a long poll and returns while it is under way. The answer comes on the channel.
func (w *world) get(url string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		start := time.Now()
		response, err := w.http.Get(url)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answers <- answer{response.StatusCode, response.Header, string(body), time.Since(start), err}
	}()
	synctest.Wait()
	return answers
}

type answer struct {
	status int
	header http.Header
	body   string
	after  time.Duration
	err    error
}

func (w *world) dial(url string) *websocket.Conn {
	w.t.Helper()
	conn, _, err := websocket.Dial(w.t.Context(), url, &websocket.DialOptions{HTTPClient: w.http})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(-1)
	synctest.Wait()
	return conn
}

// read reads one frame.
func (w *world) read(conn *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	_, data, err := conn.Read(ctx)
	return string(data), err
}

// rawWebSocket does the handshake by itself, so that only the test reads and answers.
func (w *world) rawWebSocket(url string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := w.listener.dial(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: push.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", strings.TrimPrefix(url, "http://push.test"))
	reader := bufio.NewReaderSize(conn, 512)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("upgrade: %v %v", response, err)
	}
	synctest.Wait()
	return conn, reader
}

// value waits until everything in the bubble is blocked, and returns a counter or gauge by its name
// and the value of its only label, if it has one.
func (w *world) value(name, label string) float64 {
	synctest.Wait()
	value, found := testkit.Metric(w.t, w.metrics, "pushgate_"+name, label)
	if !found {
		w.t.Errorf("no metric %s %s", name, label)
	}
	return value
}

// text returns the record that a reader of a channel gets.
func text(m *proto.Message, id channel.ID) string {
	return string(wire.TextFrame(m, m.Via([]channel.ID{id})).Payload())
}

func errorAs[T error](err error, target *T) bool { return errors.As(err, target) }
