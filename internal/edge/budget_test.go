//go:build !race

// The race detector allocates and makes pools forget at random, so that budgets cannot be held
// under it.

package edge

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/wire"
)

// An idle WebSocket has no goroutine. It holds only this: the kernel's descriptor,
// the session, its places in the hub, the heartbeats and among the connections of its user.
func TestBudgetOfAnIdleWebSocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("each has a goroutine here")
	}
	const connections = 2000
	empty, _, collected := measureIdle(t, "/bitrix/subws/", upgradeHeaders, connections, 0)
	each := collected.since(empty, connections)
	if each.goroutines*connections > idleGoroutines || each.live > 1900 || each.stacks > 200 {
		t.Errorf("a WebSocket at rest holds %.0f bytes, %.0f of stacks and %.3f goroutines", each.live, each.stacks, each.goroutines)
	}
	t.Logf("%+v", each)
}

// A held poll is not much more: what its request asked for, and a timer.
func TestBudgetOfAHeldPoll(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("each has a goroutine here")
	}
	const connections = 2000
	empty, _, collected := measureIdle(t, "/bitrix/sub/", "", connections, 0)
	each := collected.since(empty, connections)
	if each.goroutines*connections > idleGoroutines || each.live > 2500 || each.stacks > 1000 {
		t.Errorf("a held poll holds %.0f bytes, %.0f of stacks and %.3f goroutines", each.live, each.stacks, each.goroutines)
	}
	t.Logf("%+v", each)
}

// BenchmarkFanOut is one message to many WebSockets over loopback TCP: from the dispatch to the
// last byte in the last socket.
func BenchmarkFanOut(b *testing.B) {
	const sessions = 200
	log := storetest.NewMemory(store.Config{})
	e := edgeOf(settings{Config: Config{PingInterval: time.Minute, Origins: []string{"*"}},
		Portal: portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20}}}, log, prometheus.NewRegistry())
	hub := e.personal().hub
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go e.Serve(listener)
	defer listener.Close()
	hub.Resync(proto.ID{})
	var readers, got sync.WaitGroup
	size := 0
	for range sessions {
		conn, _, err := websocket.Dial(b.Context(), "http://"+listener.Addr().String()+"/subws/?CHANNEL_ID="+signed(alice), nil)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.CloseNow()
		readers.Go(func() {
			for {
				_, r, err := conn.Reader(context.Background())
				if err != nil {
					return
				}
				io.Copy(io.Discard, r)
				got.Done()
			}
		})
	}
	// A client has its answer before its session is attached.
	testkit.Eventually(b, "all are attached", func() bool { return len(hub.Presence()) > 0 && hub.Presence()[0].Sessions == sessions })
	body := []byte(`{"text":"` + strings.Repeat("x", 240) + `"}`)
	b.ReportAllocs()
	sequence := uint64(0)
	for b.Loop() {
		sequence++
		got.Add(sessions)
		m := &proto.Message{ID: proto.ID{Sequence: sequence}, Receivers: []channel.ID{alice}, Body: body, TTL: time.Hour, Created: time.Now(), Received: time.Now()}
		hub.Dispatch(m)
		got.Wait()
		size = len(wire.TextFrame(m, 0).WebSocket())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
	b.ReportMetric(float64(size), "B/frame")
	e.shared.Heartbeats.Close()
	readers.Wait()
	e.shared.Conns.Close()
	e.connections.Done()
	e.connections.Wait()
}

// BenchmarkSubscribe is the checking of an upgrade's query: two ids, two signatures.
func BenchmarkSubscribe(b *testing.B) {
	log := storetest.NewMemory(store.Config{})
	e := edgeOf(settings{Config: Config{PingInterval: time.Minute}, Portal: portal.Portal{Signer: signer}}, log, prometheus.NewRegistry())
	r, _ := http.NewRequest("GET", "/bitrix/subws/?CHANNEL_ID="+signed(alice, bob)+"&mid=17952262100000000000000002&revision=19", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := e.parse(r); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
