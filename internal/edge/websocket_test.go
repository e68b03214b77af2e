package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
)

func TestWebSocketReplaysAndGoesOnLive(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		first := w.publish(`{"n":1}`, alice)
		second := w.publish(`{"n":2}`, alice)
		third := w.publish(`{"n":3}`, bob)
		conn := w.dial(w.url("/bitrix/subws/", signed(alice, bob), "mid", first.ID.String()))
		if got, err := w.read(conn); err != nil || got != text(second, alice)+text(third, bob) {
			t.Errorf("replay: got %q, %v", got, err)
		}
		live := w.publish(`{"n":4}`, bob)
		if got, err := w.read(conn); err != nil || got != text(live, bob) {
			t.Errorf("live: got %q, %v", got, err)
		}
		if n := w.value("delivered_total", "websocket"); n != 3 {
			t.Errorf("%v delivered, want 3", n)
		}
	})
}

// A WebSocket without an id gets nothing until there is a message: no greeting, no empty frame.
func TestWebSocketIsSilentUntilAMessage(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.publish(`{}`, alice)
		conn, reader := w.rawWebSocket(w.url("/bitrix/subws/", signed(alice)))
		// The first ping comes within the fifth step.
		conn.SetReadDeadline(time.Now().Add(19 * time.Second))
		if b, err := reader.ReadByte(); err == nil {
			t.Errorf("got a byte %x", b)
		}
	})
}

func TestWrongChannelIsSaidAfterTheUpgrade(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for _, channels := range []string{"", alice.String(), signed(alice) + "/"} {
			conn := w.dial(w.url("/bitrix/subws/", channels))
			_, err := w.read(conn)
			var closed websocket.CloseError
			if !errorAs(err, &closed) || closed.Code != 4010 || closed.Reason != "4010: Wrong Channel Id." {
				t.Errorf("%q: got %v", channels, err)
			}
		}
		if n := w.value("subscribe_refused_total", ""); n != 3 {
			t.Errorf("%v refusals counted", n)
		}
	})
}

func TestFramesOfTextClientsAreIgnored(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice)))
		for range 100 {
			if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello?")); err != nil {
				t.Fatal(err)
			}
		}
		m := w.publish(`{}`, alice)
		if got, err := w.read(conn); got != text(m, alice) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestFrameThatIsTooBig(t *testing.T) {
	inWorld(t, func(c *settings) { c.Limits.Payload = 1000 }, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice)))
		conn.Write(t.Context(), websocket.MessageText, make([]byte, 1000))
		go conn.Write(t.Context(), websocket.MessageText, make([]byte, 1001))
		_, err := w.read(conn)
		var closed websocket.CloseError
		if !errorAs(err, &closed) || closed.Code != 1009 || closed.Reason != "" {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if n := w.value("session_ends_total", "message_too_big"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
	})
}

// Two pings without an answer end the connection when the third is due.
func TestSilentPeerIsDeadAfterTwoPings(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		start := time.Now()
		_, reader := w.rawWebSocket(w.url("/subws/", signed(alice)))
		got, err := io.ReadAll(reader)
		if err != nil || string(got) != strings.Repeat(string(pingFrame), 2) {
			t.Errorf("got %q, %v", got, err)
		}
		if lived := time.Since(start); lived < 75*time.Second-maxInterval || lived > 75*time.Second+maxInterval {
			t.Errorf("ended after %v", lived)
		}
		synctest.Wait()
		if n := w.value("session_ends_total", "ping_timeout"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
	})
}

func TestPeerThatAnswersPingsLives(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice)))
		go func() {
			time.Sleep(59 * time.Minute)
			w.publish(`{}`, alice)
		}()
		if _, err := w.read(conn); err != nil {
			t.Errorf("after an hour, all pings answered: %v", err)
		}
	})
}

// A write that is stuck ends its own session, and delays no other.
func TestStuckWriteEndsTheSessionAlone(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.rawWebSocket(w.url("/subws/", signed(alice))) // never reads
		fast := w.dial(w.url("/subws/", signed(alice)))
		for range 100 {
			start := time.Now()
			m := w.publish(`{}`, alice)
			if got, err := w.read(fast); got != text(m, alice) || time.Since(start) != 0 {
				t.Fatalf("the fast reader got %q, %v after %v", got, err, time.Since(start))
			}
		}
		if n := w.value("connections", "websocket"); n != 2 {
			t.Errorf("%v connections, want both", n)
		}
		time.Sleep(writeTimeout + maxInterval + time.Second)
		synctest.Wait()
		if n := w.value("connections", "websocket"); n != 1 {
			t.Errorf("%v connections, want the fast one", n)
		}
		if n := w.value("session_ends_total", "write_timeout"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
	})
}

// A slow reader gets everything, even if it is much more than its inbox holds.
func TestSlowReaderGetsEverything(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice)))
		var want strings.Builder
		for range 500 {
			want.WriteString(text(w.publish(`{}`, alice), alice))
		}
		if w.value("inbox_overflows_total", "") == 0 {
			t.Error("no inbox was full: the test shows nothing")
		}
		var got strings.Builder
		for got.Len() < want.Len() {
			frame, err := w.read(conn)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(frame)
		}
		if got.String() != want.String() {
			t.Error("not the messages in their order, each once")
		}
	})
}

func TestDrainSpreadsItsClosesOverTheWindow(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		start := time.Now()
		ends := make(chan time.Duration, 40)
		for range 20 {
			conn := w.dial(w.url("/subws/", signed(alice)))
			go func() {
				_, err := w.read(conn)
				if websocket.CloseStatus(err) != 3000 {
					t.Errorf("got %v, want the close code that sends no client to the portal", err)
				}
				ends <- time.Since(start)
			}()
		}
		for range 20 {
			poll := w.get(w.url("/sub/", signed(alice)))
			go func() {
				if got := <-poll; got.status != http.StatusNotModified {
					t.Errorf("a poll got %d", got.status)
				}
				ends <- time.Since(start)
			}()
		}
		if err := w.edge.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		w.edge.Drain(t.Context())
		if w.edge.Ready() == nil {
			t.Error("ready while it leaves")
		}
		if took := time.Since(start); took < 9*time.Second || took > 10100*time.Millisecond {
			t.Errorf("took %v, want about the window of 10 s", took)
		}
		early := 0
		for range 40 {
			if end := <-ends; end < 2500*time.Millisecond {
				early++
			}
		}
		if early == 0 || early > 20 {
			t.Errorf("%d of 40 sessions ended in the first quarter of the window", early)
		}
	})
}

func TestPresenceHasAGrace(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		online := func() int {
			n, err := w.log.Online(t.Context(), []channel.ID{alice})
			if err != nil {
				t.Fatal(err)
			}
			return n[0]
		}
		conn := w.dial(w.url("/subws/", signed(alice)))
		time.Sleep(2 * presenceStep)
		if online() != 1 {
			t.Errorf("%d sessions on record, want 1", online())
		}
		conn.CloseNow()
		time.Sleep(presenceGrace / 2)
		if online() != 1 {
			t.Error("gone before the grace is over")
		}
		again := w.dial(w.url("/subws/", signed(alice)))
		time.Sleep(2 * presenceGrace)
		if online() != 1 {
			t.Error("gone although there is a session again")
		}
		again.CloseNow()
		time.Sleep(presenceGrace + time.Second)
		if online() != 0 {
			t.Error("still there long after the last session has gone")
		}
	})
}

func TestOriginsAreHeldIfTheyAreNamed(t *testing.T) {
	inWorld(t, func(c *settings) { c.Origins = []string{"*.example.com"} }, func(t *testing.T, w *world) {
		for origin, want := range map[string]bool{"https://portal.example.com": true, "https://evil.test": false, "": true} {
			conn, _, err := websocket.Dial(t.Context(), w.url("/subws/", signed(alice)), &websocket.DialOptions{
				HTTPClient: w.http, HTTPHeader: http.Header{"Origin": {origin}}})
			if (err == nil) != want {
				t.Errorf("origin %q: %v", origin, err)
			}
			if err == nil {
				conn.CloseNow()
			}
		}
	})
}
