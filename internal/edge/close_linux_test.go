package edge

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// rawClient is a client's end of a connection to an edge.
type rawClient struct {
	net.Conn
	*bufio.Reader
}

func (w rawClient) Read(b []byte) (int, error) { return w.Reader.Read(b) }

// TestShutdownLeavesAllAndCloseCutsAll looks at what clients see of [Edge.Shutdown] and
// [Edge.Close], with each kind of connection that there is, and at what is left of these.
func TestShutdownLeavesAllAndCloseCutsAll(t *testing.T) {
	log := storetest.NewMemory(store.Config{})
	e := edgeOf(settings{
		Config: Config{ID: "edge-1", PollTimeout: time.Minute, PingInterval: 25 * time.Second, Origins: []string{"*"}},
		Portal: portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 1000}},
	}, log, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait() // for each goroutine of the edge
	defer stop()
	running.Go(func() { e.Run(ctx) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	running.Go(func() { e.Serve(listener) })
	<-e.personal().hub.Synced()

	dial := func(send string) rawClient {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, send)
		return rawClient{conn, bufio.NewReader(conn)}
	}
	answer := func(c rawClient) *http.Response {
		t.Helper()
		r, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// What the process opens for the first connection stays.
	first := dial("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	answer(first)
	first.Close()
	open := func() int64 { return e.shared.Conns.Open() }
	await(t, "the first connection is closed", func() bool { return open() == 0 })
	before := testkit.Descriptors(t)

	request := func(path, header string) string {
		return "GET " + path + "?CHANNEL_ID=" + signed(alice) + " HTTP/1.1\r\nHost: a\r\n" + header + "\r\n"
	}
	silent, half := dial(""), dial("GET /x")
	kept := dial("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	if r := answer(kept); r.Close {
		t.Error("a connection is not kept")
	} else if _, err := io.ReadAll(r.Body); err != nil {
		t.Error(err)
	}
	socket := dial(request("/subws/", upgradeHeaders))
	answer(socket)
	stream := dial(request("/sse/", ""))
	answer(stream)
	poll, otherPoll := dial(request("/sub/", "")), dial(request("/sub/", ""))
	await(t, "all are there", func() bool { return open() == 7 && e.personal().sessions() == 4 })

	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	m := &proto.Message{Receivers: []channel.ID{alice}, Body: []byte(`{"after":"shutdown"}`), TTL: time.Hour, Created: time.Now()}
	if _, err := log.Append(ctx, m); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]rawClient{"WebSocket": socket, "stream": stream} {
		for line := ""; !strings.Contains(line, "shutdown"); {
			part, err := c.ReadString('}')
			if line += part; err != nil {
				t.Fatalf("%s after Shutdown: %q, %v", name, line, err)
			}
		}
	}
	for _, c := range []rawClient{poll, otherPoll} {
		if r := answer(c); r.StatusCode != http.StatusOK || r.Close {
			t.Errorf("a poll after Shutdown: %d, closes %t", r.StatusCode, r.Close)
		} else if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), "shutdown") {
			t.Errorf("a poll after Shutdown: %q, %v", body, err)
		}
	}
	io.WriteString(poll, request("/sub/", "")) // the other one waits for its next request
	await(t, "the poll is held again", func() bool { return e.personal().sessions() == 3 })

	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	// A poll has a session before it is held. One that is not held yet is cut.
	if r, err := http.ReadResponse(poll.Reader, nil); err == nil && (r.StatusCode != http.StatusNotModified || !r.Close) {
		t.Errorf("a held poll: %d, closes %t", r.StatusCode, r.Close)
	}
	for name, c := range map[string]rawClient{"silent": silent, "half a head": half, "kept": kept, "kept after a poll": otherPoll,
		"WebSocket": socket, "stream": stream} {
		if rest, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %q, then %v", name, rest, err)
		}
	}
	for _, c := range []rawClient{silent, half, kept, otherPoll, poll, socket, stream} {
		c.Close()
	}
	await(t, "nothing is left", func() bool {
		return open() == 0 && len(e.shared.Heartbeats.Members()) == 0 && e.personal().sessions() == 0 && testkit.Descriptors(t) <= before
	})
	late := dial("GET /x HTTP/1.1\r\nHost: a\r\n\r\n") // the listener is its owner's
	if r := answer(late); r.StatusCode != http.StatusNotFound {
		t.Errorf("a connection after Close: %d", r.StatusCode)
	}
}

// sessions returns the number of connections of a tenant.
func (t *tenant) sessions() int {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	return t.connections
}

// await waits until ok, which is sure to happen.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
