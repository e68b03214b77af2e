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

// resets is how many clients reset their connection at each step.
const resets = 120

// TestResetsLeakNothing makes clients reset their connection at every step of a subscription.
// Afterwards no descriptor, no count of the ceiling and no session is left of them.
func TestResetsLeakNothing(t *testing.T) {
	log := storetest.NewMemory(store.Config{})
	client := strings.Repeat("a", 32)
	limits := portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 1000}
	e := edgeOf(settings{
		Config: Config{ID: "edge-1", PollTimeout: time.Second, PingInterval: 25 * time.Second, Origins: []string{"*"}},
		Others: []*portal.Portal{{ClientID: client, Signer: signer, Limits: limits}},
	}, log, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { e.Run(ctx) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	defer listener.Close()
	running.Go(func() { e.Serve(listener) })
	m := &proto.Message{Receivers: []channel.ID{bob}, Body: []byte(`{}`), TTL: time.Hour, Created: time.Now()}
	if _, err := log.Append(ctx, m); err != nil {
		t.Fatal(err)
	}

	const host = " HTTP/1.1\r\nHost: a\r\n"
	const upgrade = host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	poll := "GET /sub/?clientId=" + client + "&CHANNEL_ID=" + signed(alice) + host + "\r\n"
	due := "GET /sub/?clientId=" + client + "&CHANNEL_ID=" + signed(bob) + "&mid=" + strings.Repeat("0", 26) + host + "\r\n"
	webSocket := "GET /subws/?clientId=" + client + "&CHANNEL_ID=" + signed(alice) + upgrade
	steps := []struct {
		name, send string
		answered   bool // the client resets only after the head of an answer has come
	}{
		{"connected", "", false},
		{"half a head", poll[:30], false},
		{"an upgrade", webSocket, false},
		{"an upgrade that was answered", webSocket, true},
		{"an upgrade and half a frame", webSocket + "\x01\x85", false},
		{"an upgrade, answered, and half a frame", webSocket + "\x01\x85", true},
		{"an upgrade with wrong ids", "GET /subws/?clientId=" + client + "&CHANNEL_ID=wrong" + upgrade, false},
		{"an upgrade with wrong ids that was answered", "GET /subws/?clientId=" + client + "&CHANNEL_ID=wrong" + upgrade, true},
		{"an upgrade of a portal that is not known", "GET /subws/?clientId=x" + upgrade, false},
		{"an upgrade of another version", strings.Replace(webSocket, ": 13", ": 12", 1), false},
		{"a poll", poll, false},
		{"a poll and half a head", poll + poll[:30], false},
		{"a poll that can be answered", due, false},
		{"a poll that was answered", due, true},
		{"a poll that was answered, and the next one", due + poll, true},
		{"a poll with wrong ids", "GET /sub/?clientId=" + client + "&CHANNEL_ID=wrong" + host + "\r\n", false},
		{"a stream", "GET /sse/?clientId=" + client + "&CHANNEL_ID=" + signed(alice) + host + "\r\n", false},
		{"a stream that was answered", "GET /sse/?clientId=" + client + "&CHANNEL_ID=" + signed(alice) + host + "\r\n", true},
		{"another path", "GET /x" + host + "\r\n", false},
	}
	reset := func(send string, answered bool) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.(*net.TCPConn).SetLinger(0) // Close sends a reset
		io.WriteString(conn, send)
		if answered {
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Errorf("no answer: %v", err)
			}
		}
	}
	// left waits until nothing is left of the clients, and returns what is.
	left := func(before int) (opened, counted, members, joined int) {
		testkit.WaitFor(10*time.Second, func() bool { // of many steps
			opened, members = testkit.Descriptors(t)-before, len(e.shared.Heartbeats.Members())
			counted = int(e.shared.Conns.Open())
			e.mu.Lock()
			joined = 0
			for _, tenant := range e.tenants {
				joined += tenant.connections
			}
			e.mu.Unlock()
			return opened <= 0 && counted == 0 && members == 0 && joined == 0
		})
		return opened, counted, members, joined
	}
	reset(webSocket, true) // opens what the process keeps
	testkit.Eventually(t, "the first one is gone", func() bool { return e.shared.Conns.Open() == 0 })
	for _, step := range steps {
		before := testkit.Descriptors(t)
		var clients sync.WaitGroup
		for range resets / 8 {
			for range 8 {
				clients.Go(func() { reset(step.send, step.answered) })
			}
			clients.Wait()
		}
		if opened, counted, members, joined := left(before); opened > 0 || counted != 0 || members > 0 || joined > 0 {
			t.Errorf("%s: of %d resets %d descriptors, %d counted, %d members, %d sessions are left",
				step.name, resets, opened, counted, members, joined)
		}
	}
}
