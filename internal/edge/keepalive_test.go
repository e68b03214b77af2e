package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/edge/front"
	"pushgate/internal/testkit"
)

// A client that polls again and again keeps its connection and misses nothing. A request that is
// sent too early is answered after the one before it.
func TestPollsKeepTheirConnection(t *testing.T) {
	onSockets(t, nil, func(t *testing.T, w *socketWorld) {
		const polls = 30
		conn, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		reader := bufio.NewReader(conn)
		request := func(mid string) string {
			return "GET /sub/?CHANNEL_ID=" + signed(alice) + "&mid=" + mid + " HTTP/1.1\r\nHost: push.test\r\n\r\n"
		}
		held := func() {
			testkit.Eventually(t, "it is held", func() bool { return w.edge.personal().numbers.polls.Load() == 1 })
		}
		answer := func() string {
			t.Helper()
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != 200 || response.Close {
				t.Errorf("%d, %v, close %v", response.StatusCode, err, response.Close)
			}
			return string(body)
		}
		mid := w.publish(`0`, bob).ID.String()
		for n := range polls {
			io.WriteString(conn, request(mid))
			if n%3 > 0 {
				held()
			}
			if n%3 == 1 { // too soon
				next := w.publish(`"too soon"`, bob).ID.String()
				io.WriteString(conn, request(next))
				m := w.publish(fmt.Sprint(n), alice)
				if got := answer(); got != text(m, alice) {
					t.Errorf("got %q", got)
				}
				mid = m.ID.String()
				if got := answer(); got != text(m, alice) { // its mid was older
					t.Errorf("the second got %q", got)
				}
				continue
			}
			m := w.publish(fmt.Sprint(n), alice)
			if got := answer(); got != text(m, alice) {
				t.Errorf("got %q", got)
			}
			mid = m.ID.String()
		}
		testkit.Eventually(t, "it is kept", func() bool { return len(w.edge.shared.Heartbeats.Members()) < 2 })
		conn.Close()
		testkit.Eventually(t, "it has gone", func() bool { return len(w.edge.shared.Heartbeats.Members()) == 0 })
	})
}

// A connection that is kept after a poll is closed some time later, and at once by a drain.
func TestKeptConnectionsEnd(t *testing.T) {
	inWorld(t, func(c *settings) { c.Drain = 0 }, func(t *testing.T, w *world) {
		kept := func() net.Conn {
			conn, err := w.listener.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimPrefix(w.url("/sub/", signed(alice)), "http://push.test")
			go io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: push.test\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != 304 || response.Close {
				t.Fatalf("%+v, %v", response, err)
			}
			synctest.Wait()
			return conn
		}
		conn := kept()
		start := time.Now()
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
		if lived := time.Since(start); lived < front.KeepTimeout || lived > front.KeepTimeout+maxInterval {
			t.Errorf("closed after %v", lived)
		}
		conn = kept()
		go w.edge.Drain(t.Context())
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}
