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
	dto "github.com/prometheus/client_model/go"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/edge/front"
	"pushgate/internal/leaktest"
	"pushgate/internal/netpoll"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/store"
	"pushgate/internal/store/storetest"
	"pushgate/internal/tally"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleServer) != "" {
		serveIdle()
	}
	leaktest.Main(m)
}

var (
	alice     = channel.FromBytes([16]byte{1})
	bob       = channel.FromBytes([16]byte{2})
	signer, _ = sign.New("sha1", []byte("a key of the tests"))
)

// What docs/protocol.md and docs/guarantees.md promise.
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

// edgeOf makes an edge over a log in memory, which is that of all its portals unless they have
// others.
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

// inWorld runs test in a bubble with a running edge, and takes all down at its end: once with
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
		// Of the bubble: a handler may still be at work on an upgrade that its client has already
		// seen.
		time.Sleep(time.Nanosecond)
		w.listener.Close()
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

// publish appends a message with a body to channels, and waits until it has come wherever it can.
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

// get makes a long poll that is under way when it returns; the answer comes on the channel.
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

// read reads one frame, or returns the error that says why there will be none.
func (w *world) read(conn *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	_, data, err := conn.Read(ctx)
	return string(data), err
}

// rawWebSocket does the handshake itself, so that nothing reads or answers but the test.
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

// value reads a counter or gauge by its name and the value of its one label, if it has one, when
// nothing moves any more.
func (w *world) value(name, label string) float64 {
	synctest.Wait()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "pushgate_"+name && (label == "" || metric.GetLabel()[0].GetValue() == label) {
				return metricValue(metric)
			}
		}
	}
	w.t.Errorf("no metric %s %s", name, label)
	return -1
}

func metricValue(m *dto.Metric) float64 {
	if c := m.GetCounter(); c != nil {
		return c.GetValue()
	}
	return m.GetGauge().GetValue()
}

// text returns the record that a reader of a channel gets.
func text(m *proto.Message, id channel.ID) string {
	return string(m.Text(m.Via([]channel.ID{id})).Payload())
}

// pipeListener is a network of pipes, which a bubble can see through.
type pipeListener struct {
	pipe   func() (server, client net.Conn)
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener(pipe func() (net.Conn, net.Conn)) *pipeListener {
	return &pipeListener{pipe: pipe, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := l.pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// restingPipe is an end of a pipe that tells when it can be read, by reading ahead what one write
// brings. It implements [netpoll.Notifier].
type restingPipe struct {
	net.Conn
	mu    sync.Mutex
	rest  []byte         // of what was read ahead; owned by the reader
	ahead chan readAhead // of the reading ahead that is under way or done; nil if there is none
	tell  func()         // when it is done
	// It was handed to another edge, as a descriptor is: the next Close is not that of its last
	// holder.
	given bool
}

type readAhead struct {
	bytes []byte
	err   error
}

func newRestingPipe() (server, client net.Conn) {
	server, client = newPipe()
	return &restingPipe{Conn: server}, client
}

func (p *restingPipe) NotifyReadable(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell = f
	switch {
	case len(p.rest) > 0 || len(p.ahead) > 0:
		go f()
		return
	case p.ahead == nil:
	default: // for its last holder
		return
	}
	ahead := make(chan readAhead, 1)
	p.ahead = ahead
	go func() {
		buffer := make([]byte, 4096)
		n, err := p.Conn.Read(buffer)
		p.mu.Lock()
		ahead <- readAhead{buffer[:n], err}
		tell := p.tell
		p.mu.Unlock()
		tell()
	}()
}

func (p *restingPipe) Close() error {
	p.mu.Lock()
	given := p.given
	p.given = false
	p.mu.Unlock()
	if given {
		return nil
	}
	return p.Conn.Close()
}

func (p *restingPipe) Read(b []byte) (int, error) {
	if len(p.rest) > 0 {
		n := copy(b, p.rest)
		p.rest = p.rest[n:]
		return n, nil
	}
	p.mu.Lock()
	ahead := p.ahead
	p.ahead = nil
	p.mu.Unlock()
	if ahead == nil {
		return p.Conn.Read(b)
	}
	read := <-ahead
	if read.err != nil {
		return 0, read.err
	}
	n := copy(b, read.bytes)
	p.rest = read.bytes[n:]
	return n, nil
}

func errorAs[T error](err error, target *T) bool { return errors.As(err, target) }
