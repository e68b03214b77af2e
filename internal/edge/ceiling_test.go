package edge

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
	"pushgate/internal/transport"

	"github.com/coder/websocket"
)

// A client that connects to a full edge is asked to try another one, by every transport. Connected
// clients stay.
func TestFullEdgeTurnsSubscribersAway(t *testing.T) {
	inWorld(t, func(c *settings) { c.MaxConnections = 3 }, func(t *testing.T, w *world) {
		first := w.dial(w.url("/subws/", signed(alice)))
		w.dial(w.url("/subws/", signed(alice)))
		last := w.dial(w.url("/subws/", signed(alice)))
		if err := w.edge.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		if limit, _ := testkit.Metric(t, w.metrics, "pushgate_connections_limit", ""); limit != 3 {
			t.Errorf("the limit is shown as %v", limit)
		}
		open := w.edge.ceiling.open
		w.edge.ceiling.open = func() int64 { return open() + 1 } // as if there was another one
		if w.edge.Ready() == nil {
			t.Error("ready without room")
		}
		for _, url := range []string{w.url("/sub/", signed(alice)), w.url("/sse/", signed(alice)), w.url("/sub/", "wrong")} {
			got := <-w.get(url)
			if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get(transport.AllowOrigin) != "*" {
				t.Errorf("%+v", got)
			}
		}
		_, response, err := websocket.Dial(t.Context(), w.url("/subws/", signed(alice)), &websocket.DialOptions{HTTPClient: w.http})
		if err == nil || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a WebSocket: %v", err)
		}
		if n := w.value("subscribe_turned_away_total", "connections"); n != 4 {
			t.Errorf("%v counted", n)
		}
		m := w.publish(`{}`, alice)
		if got, err := w.read(first); err != nil || got != text(m, alice) {
			t.Errorf("who was there: %q, %v", got, err)
		}
		last.CloseNow()
		w.edge.ceiling.open = open
		synctest.Wait()
		w.dial(w.url("/subws/", signed(alice)))
	})
}

// Memory is checked at intervals. There is room again once a little has been freed.
func TestFullMemoryTurnsSubscribersAway(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		var used atomic.Uint64
		c := &w.edge.ceiling
		c.memory, c.used = 100, used.Load
		used.Store(7)
		for name, want := range map[string]float64{"pushgate_memory_used_bytes": 7, "pushgate_memory_limit_bytes": 100} {
			if got, _ := testkit.Metric(t, w.metrics, name, ""); got != want {
				t.Errorf("%s: %v", name, got)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go c.watch(ctx)
		for _, step := range []struct {
			used uint64
			full bool
		}{{70, false}, {76, true}, {74, true}, {69, false}, {74, false}} {
			used.Store(step.used)
			time.Sleep(2 * memoryInterval)
			if got := c.reached() == fullMemory; got != step.full {
				t.Errorf("%d of 100 in use: full is %t", step.used, got)
			}
		}
	})
}

// Connections count until they are closed; far too many of them are cut off, and leave no trace.
func TestConnectionsCount(t *testing.T) {
	inWorld(t, func(c *settings) { c.MaxConnections = 10 }, func(t *testing.T, w *world) {
		var clients []net.Conn
		for range 27 {
			server, client := newRestingPipe()
			w.edge.accept(server)
			clients = append(clients, client)
		}
		if _, err := clients[26].Read(make([]byte, 1)); err != io.EOF || w.value("subscribe_turned_away_total", "connections") != 1 {
			t.Errorf("not cut off: %v", err)
		}
		for _, client := range clients {
			client.Close()
		}
		synctest.Wait()
		if n := w.edge.shared.Conns.Open(); n != 0 || len(w.edge.shared.Heartbeats.Members()) != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

func TestUsedMemoryIsMeasured(t *testing.T) {
	if used := usedMemory(); used < 100<<10 || used > 1<<34 {
		t.Errorf("%d bytes in use", used)
	}
}
