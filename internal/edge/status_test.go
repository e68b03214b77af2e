package edge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
)

// TestStatusAcrossEdges: a client that watches a user is notified once when the user comes and once
// when the user leaves, whichever edges both are connected to.
func TestStatusAcrossEdges(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		v := w.secondEdge()
		here, there := w.dial(rpcURL("/subws/", token(1))), v.dial(rpcURL("/subws/", token(2)))
		for _, c := range []struct {
			w    *world
			conn *websocket.Conn
			user string
		}{{w, here, `5`}, {v, there, `"5"`}} {
			if got := c.w.ask(c.conn, `{"jsonrpc":"2.0","method":"subscribeStatusChange","params":{"userId":`+c.user+`},"id":1}`); got != `{"jsonrpc":"2.0","id":1,"result":{}}` {
				t.Fatal(got)
			}
		}
		notified := func(w *world, conn *websocket.Conn, online bool) {
			t.Helper()
			got := w.hear(conn)
			want := fmt.Sprintf(`"body":{"module_id":"online","command":"userStatusChange","params":{"user_id":5,"online":%t},"extra":{"server_time_unix":`, online)
			if !strings.Contains(got, want) || !strings.HasSuffix(got, `"sender":{"type":2}}}`) {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		first := w.dial(rpcURL("/subws/", token(5)))
		notified(w, here, true)
		notified(v, there, true)
		second := v.dial(rpcURL("/subws/", token(5)))
		time.Sleep(time.Second)
		first.CloseNow() // the user is still at the other edge
		time.Sleep(presenceGrace + time.Second)
		left := time.Now()
		second.CloseNow()
		notified(w, here, false)
		notified(v, there, false)
		if took := time.Since(left); took < presenceGrace || took > presenceGrace+2*presenceStep {
			t.Errorf("notified after %v", took)
		}
		if got := w.ask(here, `{"jsonrpc":"2.0","method":"getUsersLastSeen","params":{"userList":[5,2]},"id":2}`); got != `{"jsonrpc":"2.0","id":2,"result":{"5":1,"2":0}}` {
			t.Error(got)
		}
		if got := w.ask(here, `{"jsonrpc":"2.0","method":"unsubscribeStatusChange","params":{"userId":5},"id":3}`); got != `{"jsonrpc":"2.0","id":3,"result":{}}` {
			t.Error(got)
		}
		w.dial(rpcURL("/subws/", token(5)))
		notified(v, there, true)
		if got := w.ask(here, `{"jsonrpc":"2.0","method":"ping","id":4}`); got != `{"jsonrpc":"2.0","id":4,"result":{}}` {
			t.Errorf("notified after unsubscribing: %s", got)
		}
	})
}

// secondEdge returns a world with another edge on the same log.
func (w *world) secondEdge() *world {
	v := &world{t: w.t, log: w.log, listener: newPipeListener(newRestingPipe)}
	v.metrics = prometheus.NewRegistry()
	v.settings = w.settings
	v.settings.ID = "edge-2"
	v.edge = edgeOf(v.settings, w.log, v.metrics)
	transport := &http.Transport{DialContext: v.listener.dial}
	v.http = &http.Client{Transport: transport}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { v.edge.Serve(v.listener) })
	running.Go(func() { v.edge.Run(ctx) })
	w.t.Cleanup(func() {
		stop()
		v.listener.Close()
		transport.CloseIdleConnections()
		running.Wait()
	})
	synctest.Wait()
	return v
}

// TestStatusOfADeadEdge: another edge reports a user of a dead edge as offline when the dead edge's
// lease has ended.
func TestStatusOfADeadEdge(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		users := []proto.Presence{{Channel: channel.ForUser(5), Sessions: 1}, {Channel: channel.ForUser(6), Sessions: 1}}
		if _, _, err := w.log.SetPresence(t.Context(), "dead", users, true); err != nil {
			t.Fatal(err)
		}
		conn := w.dial(rpcURL("/subws/", token(1)))
		w.dial(rpcURL("/subws/", token(6))) // has come back
		for _, user := range []string{"5", "6"} {
			w.ask(conn, `{"jsonrpc":"2.0","method":"subscribeStatusChange","params":{"userId":`+user+`},"id":1}`)
		}
		start := time.Now()
		if got := w.hear(conn); !strings.Contains(got, `"params":{"user_id":5,"online":false}`) {
			t.Errorf("got %s", got)
		}
		if after := time.Since(start); after > store.PresenceLease+2*presenceRenew {
			t.Errorf("notified after %v", after)
		}
		w.publish(`1`, channel.ForUser(1))
		if got := w.hear(conn); strings.Contains(got, "userStatusChange") {
			t.Errorf("notified again: %s", got)
		}
	})
}
