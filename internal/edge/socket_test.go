package edge

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/netpoll"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// Tests with real sockets, which rest by epoll and do not work in a bubble. Times are short and in
// real time.

// onSockets runs test with an edge on sockets, once with connections that rest, and once with those
// that keep a goroutine.
func onSockets(t *testing.T, change func(*settings), test func(*testing.T, *socketWorld)) {
	for name, set := range map[string]func(func(func())) *netpoll.Set{"resting": netpoll.New, "plain": netpoll.NewPlain} {
		t.Run(name, func(t *testing.T) {
			config := settings{
				Config: Config{ID: "edge-1", PollTimeout: time.Minute, PingInterval: 25 * time.Second, Drain: 100 * time.Millisecond, Origins: []string{"*"}},
				Portal: portal.Portal{Signer: signer, Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 100}},
			}
			if change != nil {
				change(&config)
			}
			w := &socketWorld{t: t, log: storetest.NewMemory(store.Config{})}
			w.edge = edgeOn(config, w.log, prometheus.NewRegistry(), set)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			w.address = listener.Addr().String()
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { w.edge.Run(ctx) })
			running.Go(func() { w.edge.Serve(listener) })
			testkit.Eventually(t, "ready", func() bool { return w.edge.Ready() == nil })
			test(t, w)
			listener.Close()
			stop()
			running.Wait()
			if n := w.edge.personal().hub.Channels(); n != 0 {
				t.Errorf("%d channels have a session after all", n)
			}
		})
	}
}

type socketWorld struct {
	t       *testing.T
	edge    *Edge
	log     *storetest.Memory
	address string
}

func (w *socketWorld) dial(id channel.ID) *websocket.Conn {
	w.t.Helper()
	conn, _, err := websocket.Dial(w.t.Context(), "http://"+w.address+"/subws/?CHANNEL_ID="+signed(id), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	return conn
}

// raw does a handshake by itself, and sends more bytes in the same packet.
func (w *socketWorld) raw(id channel.ID, more []byte) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	request := fmt.Sprintf("GET /subws/?CHANNEL_ID=%s HTTP/1.1\r\nHost: push.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", signed(id))
	conn.Write(append([]byte(request), more...))
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("upgrade: %v %v", response, err)
	}
	return conn, reader
}

func (w *socketWorld) publish(body string, id channel.ID) *proto.Message {
	w.t.Helper()
	m := &proto.Message{Receivers: []channel.ID{id}, Body: []byte(body), TTL: time.Hour, Created: time.Now()}
	receipts, err := w.log.Append(context.Background(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	m.ID = receipts[0].ID
	return m
}

// masked writes a short frame as a client does.
func masked(opcode byte, payload string) []byte {
	return append([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func TestControlFramesOnSockets(t *testing.T) {
	onSockets(t, nil, func(t *testing.T, w *socketWorld) {
		pong := []byte("\x8a\x03abc")
		expect := func(reader io.Reader, want []byte) {
			t.Helper()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, want %q: %v", got, want, err)
			}
		}
		// A client that does not wait for the answer.
		early, reader := w.raw(alice, masked(9, "abc"))
		expect(reader, pong)
		early.Close()

		conn, reader := w.raw(alice, nil)
		defer conn.Close()
		for i := range 3 { // byte by byte, each in a packet of its own
			for _, b := range masked(9, "abc") {
				conn.Write([]byte{b})
				runtime.Gosched()
			}
			expect(reader, pong)
			// Many at once, and part of one more.
			conn.Write(append(bytes.Repeat(masked(9, "abc"), 200), masked(9, "abc")[:i+1]...))
			expect(reader, bytes.Repeat(pong, 200))
			conn.Write(masked(9, "abc")[i+1:])
			expect(reader, pong)
		}
		conn.Write(masked(8, "\x03\xe8bye"))
		expect(reader, []byte("\x88\x05\x03\xe8bye"))
		if n, err := reader.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the close frame: %d bytes, %v", n, err)
		}
		if n := w.edge.personal().numbers.webSockets.Load(); n > 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestSleepersOnSockets pings often, delivers, receives from clients, and ends connections in every
// way, all at the same time. No client misses a message, and nothing is left behind.
func TestSleepersOnSockets(t *testing.T) {
	const clients, messages = 60, 50
	often := func(c *settings) { c.PingInterval = 500 * time.Millisecond }
	onSockets(t, often, func(t *testing.T, w *socketWorld) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		var ready atomic.Int64
		for i := range clients {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 3))
				for range random.IntN(4) { // some that come and go
					conn := w.dial(alice)
					conn.Write(ctx, websocket.MessageText, make([]byte, random.IntN(5000)))
					if random.IntN(2) == 0 {
						conn.Close(websocket.StatusNormalClosure, "")
					} else {
						conn.CloseNow()
					}
				}
				conn := w.dial(alice)
				defer conn.CloseNow()
				ready.Add(1)
				var got strings.Builder
				for strings.Count(got.String(), "NGINXNMS") < messages {
					_, text, err := conn.Read(ctx)
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					got.Write(text)
					conn.Write(ctx, websocket.MessageText, []byte("thanks"))
				}
				for n := range messages {
					if record := fmt.Sprintf(`"text":%d}`, n); strings.Count(got.String(), record) != 1 {
						t.Errorf("client %d has message %d %d times", i, n, strings.Count(got.String(), record))
					}
				}
			})
		}
		testkit.Eventually(t, "all are attached", func() bool { return ready.Load() == clients && w.edge.personal().numbers.webSockets.Load() >= clients })
		for n := range messages {
			w.publish(fmt.Sprint(n), alice)
			time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond) // so that some rest
		}
		all.Wait()
		testkit.Eventually(t, "all are gone", func() bool { return w.edge.personal().numbers.webSockets.Load() == 0 })
	})
}

// A drain reaches a connection at rest, and the edge waits for the answer.
func TestDrainOfSleepersOnSockets(t *testing.T) {
	const clients = 100
	onSockets(t, nil, func(t *testing.T, w *socketWorld) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range clients {
			conn := w.dial(alice)
			all.Go(func() {
				_, _, err := conn.Read(ctx)
				if websocket.CloseStatus(err) != 3000 {
					t.Errorf("ended with %v", err)
				}
				conn.CloseNow()
			})
		}
		testkit.Eventually(t, "all are attached", func() bool { return w.edge.personal().numbers.webSockets.Load() == clients })
		w.edge.Drain(ctx)
		if ctx.Err() != nil {
			t.Error("some never went")
		}
		all.Wait()
	})
}

// A client that never answers the close frame is cut off.
func TestCloseThatIsNotAnswered(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn, reader := w.rawWebSocket(w.url("/subws/", signed(alice)))
		start := time.Now()
		w.edge.shared.Heartbeats.Members()[0].Leave()
		got, err := io.ReadAll(reader)
		if err != nil || string(got) != "\x88\x18\x0b\xb8The server is leaving." || time.Since(start) != 5*time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(start))
		}
		conn.Close()
	})
}

// A connection that is asked to leave several times sends one close frame, still reads what the
// client sends, and ends with the client's answer.
func TestCloseFrameIsSentOnce(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn, reader := w.rawWebSocket(w.url("/subws/", signed(alice)))
		member := w.edge.shared.Heartbeats.Members()[0]
		member.Leave()
		member.Leave()
		synctest.Wait()
		closing := "\x88\x18\x0b\xb8The server is leaving."
		got := make([]byte, len(closing))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != closing {
			t.Errorf("got %q, %v", got, err)
		}
		conn.Write(masked(1, "x"))
		conn.Write(masked(8, "\x0b\xb8"))
		if got, err := io.ReadAll(reader); err != nil || len(got) > 0 {
			t.Errorf("after that: %q, %v", got, err)
		}
		synctest.Wait()
		if n := w.value("session_ends_total", "leaving"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
		if n := w.value("received_frames_total", ""); n != 1 {
			t.Errorf("%v frames received", n)
		}
	})
}

func TestProtocolErrorIsSaid(t *testing.T) {
	for name, frame := range map[string][]byte{"reserved bits": {0xf1, 0x80, 0, 0, 0, 0}, "no mask": {0x81, 0}, "close code": masked(8, "\x03\xed"), "continuation": masked(0, "")} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				conn, reader := w.rawWebSocket(w.url("/subws/", signed(alice)))
				go conn.Write(frame)
				if got, err := io.ReadAll(reader); err != nil || string(got) != "\x88\x02\x03\xea" {
					t.Errorf("got %q, %v", got, err)
				}
				synctest.Wait()
				if n := w.value("session_ends_total", "websocket_protocol_error"); n != 1 {
					t.Errorf("%v ends counted", n)
				}
			})
		})
	}
}
