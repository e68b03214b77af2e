//go:build !race

// The race detector allocates and makes pools forget at random, so that budgets cannot be held under it.

package edge

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
	"pushgate/internal/store/storetest"
)

// An idle WebSocket has no goroutine, and what it holds is ours to name: the kernel's descriptor, the session, its places in the hub, the
// wheel and the crowd of its user.
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

// discardConn takes whatever is written.
type discardConn struct{ net.Conn }

func (discardConn) Write(b []byte) (int, error) { return len(b), nil }

func TestWriteOfACachedFrameAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		codec *codec
		cache func(m *proto.Message)
	}{
		{"text", textCodec, func(m *proto.Message) { m.Text(0) }},
		{"binary", binaryCodec, func(m *proto.Message) { m.Binary() }},
	} {
		t.Run(c.name, func(t *testing.T) { writeOfACachedFrame(t, c.codec, c.cache) })
	}
}

func writeOfACachedFrame(t *testing.T, form *codec, cache func(m *proto.Message)) {
	log := storetest.NewMemory(store.Config{})
	e := newEdge(settings{Config: Config{PingInterval: time.Second}, Portal: portal.Portal{Signer: signer}}, log, prometheus.NewRegistry())
	hub := e.personal().hub
	hub.Resync(proto.ID{})
	c := &wsConn{edge: e, tenant: e.personal(), net: e.resting.Hold(discardConn{}), sub: subscription{channels: []channel.ID{alice}, codec: form}}
	c.ctx, c.end = context.WithCancelCause(t.Context())
	c.session = hub.Attach(c.sub.channels, nil, func() {})
	m := &proto.Message{Receivers: c.sub.channels, Body: []byte(`{}`), TTL: time.Hour, Created: time.Now(), Received: time.Now()}
	cache(m)
	if got := testing.AllocsPerRun(1000, func() {
		m.ID.Sequence++
		hub.Dispatch(m)
		c.write()
	}); got != 0 {
		t.Errorf("dispatching and writing one cached frame allocates %v times", got)
	}
}

// A message to one WebSocket is one write: no goroutine is started for it, and nothing allocated.
func TestUnicastNeedsNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a write that does not wait is not to be had here")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	e := newEdge(settings{Config: Config{PingInterval: time.Second}, Portal: portal.Portal{Signer: signer}},
		storetest.NewMemory(store.Config{}), prometheus.NewRegistry())
	e.writers.start = func(func()) { t.Error("a goroutine") }
	hub := e.personal().hub
	hub.Resync(proto.ID{})
	c := &wsConn{edge: e, tenant: e.personal(), net: e.resting.Hold(server), sub: subscription{channels: []channel.ID{alice}, codec: textCodec}}
	defer c.net.Close()
	c.ctx, c.end = context.WithCancelCause(t.Context())
	c.session = hub.Attach(c.sub.channels, nil, func() { e.writers.add(c) })
	if !c.session.Rest() {
		t.Fatal("something is due")
	}
	m := &proto.Message{Receivers: c.sub.channels, Body: []byte(`{}`), TTL: time.Hour, Created: time.Now(), Received: time.Now()}
	got := make([]byte, len(m.Text(0).WebSocket()))
	f := follower{Hub: hub, writers: &e.writers}
	if allocs := testing.AllocsPerRun(1000, func() {
		m.ID.Sequence++
		f.Dispatch(m)
		io.ReadFull(client, got) // which has been written by now
	}); allocs != 0 {
		t.Errorf("a delivery allocates %v times", allocs)
	}
	if !bytes.Equal(got, m.Text(0).WebSocket()) {
		t.Errorf("%q", got)
	}
}

// BenchmarkFanOut is one message to many WebSockets over loopback TCP: from the dispatch to the last byte in the last socket.
func BenchmarkFanOut(b *testing.B) {
	const sessions = 200
	log := storetest.NewMemory(store.Config{})
	e := newEdge(settings{Config: Config{PingInterval: time.Minute, Origins: []string{"*"}},
		Portal: portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20}}}, log, prometheus.NewRegistry())
	hub := e.personal().hub
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	hub.Resync(proto.ID{})
	var readers, got sync.WaitGroup
	size := 0
	for range sessions {
		conn, _, err := websocket.Dial(b.Context(), server.URL+"/subws/?CHANNEL_ID="+signed(alice), nil)
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
	for deadline := time.Now().Add(10 * time.Second); len(hub.Presence()) == 0 || hub.Presence()[0].Sessions < sessions; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal(hub.Presence())
		}
	}
	body := []byte(`{"text":"` + strings.Repeat("x", 240) + `"}`)
	b.ReportAllocs()
	sequence := uint64(0)
	for b.Loop() {
		sequence++
		got.Add(sessions)
		m := &proto.Message{ID: proto.ID{Sequence: sequence}, Receivers: []channel.ID{alice}, Body: body, TTL: time.Hour, Created: time.Now(), Received: time.Now()}
		hub.Dispatch(m)
		got.Wait()
		size = len(m.Text(0).WebSocket())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
	b.ReportMetric(float64(size), "B/frame")
	e.wheel.close()
	readers.Wait()
	e.resting.Close()
	e.connections.Done()
	e.connections.Wait()
}

// BenchmarkSubscribe is the checking of an upgrade's query: two ids, two signatures.
func BenchmarkSubscribe(b *testing.B) {
	log := storetest.NewMemory(store.Config{})
	e := newEdge(settings{Config: Config{PingInterval: time.Minute}, Portal: portal.Portal{Signer: signer}}, log, prometheus.NewRegistry())
	r, _ := http.NewRequest("GET", "/bitrix/subws/?CHANNEL_ID="+signed(alice, bob)+"&mid=17952262100000000000000002&revision=19", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := e.parse(r); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
