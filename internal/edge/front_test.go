package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// headOf gives what a connection has read by one write.
func headOf(text string) *head {
	h := heads.Get().(*head)
	h.n = copy(h.bytes[:], text)
	return h
}

func TestHeadsThatAreServedAtOnce(t *testing.T) {
	const path = "GET /bitrix/sub/?CHANNEL_ID=x HTTP/1.1\r\n"
	for _, c := range []struct {
		name, text string
		served     bool
	}{
		{"a poll", path + "Host: a\r\n\r\n", true},
		{"of the second path", "GET /subws/x?a=b HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n", true},
		{"an upgrade", path + "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true},
		{"a part", path + "Host: a\r\n", false},
		{"nothing", "", false},
		{"two", strings.Repeat(path+"Host: a\r\n\r\n", 2), false},
		{"two by bare line feeds", path + "Host: a\n\n" + path + "Host: a\r\n\r\n", false},
		{"no host", path + "\r\n", false},
		{"HTTP/1.0", "GET /sub/ HTTP/1.0\r\nHost: a\r\n\r\n", false},
		{"a body", path + "Host: a\r\nContent-Length: 1\r\n\r\n", false},
		{"a body in chunks", path + "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"expectations", path + "Host: a\r\nExpect: 100-continue\r\n\r\n", false},
		{"another method", "POST /sub/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"another path", "GET /bitrix/sse/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"an escaped path", "GET /sub/%2f HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"a dot segment", "GET /sub/../x HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"an empty segment", "GET /sub//x HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"a whole address", "GET http://a/sub/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"letters of the world", path + "Host: a\r\nX: \xc3\xa4\r\n\r\n", false},
		{"a zero byte", path + "Host: a\r\nX: \x00\r\n\r\n", false},
		{"a header that is none", path + "Host: a\r\nX y: z\r\n\r\n", false},
		{"too long", path + "Host: a\r\nX: " + strings.Repeat("x", longestHead) + "\r\n\r\n", false},
	} {
		if r := headOf(c.text).request(); (r != nil) != c.served {
			t.Errorf("%s: served at once is %t", c.name, r != nil)
		}
	}
}

// Whatever is served at once is one request, without a body, that net/http reads the same.
func FuzzHead(f *testing.F) {
	f.Add("GET /sub/?a=b HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("GET /subws/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	f.Add("GET /sub/ HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := headOf(text).request()
		if r == nil {
			return
		}
		reader := bufio.NewReader(strings.NewReader(text))
		again, err := http.ReadRequest(reader)
		if err != nil || reader.Buffered() > 0 || again.URL.String() != r.URL.String() || fmt.Sprint(again.Header) != fmt.Sprint(r.Header) {
			t.Errorf("%q was read as %+v, and then as %+v, %v, with %d bytes left", text, r, again, err, reader.Buffered())
		}
		if body, err := io.ReadAll(r.Body); len(body) > 0 || err != nil || r.Method != "GET" || !subscribes(r.URL.Path) {
			t.Errorf("%q has %q, %v", text, body, err)
		}
	})
}

// front opens a connection on which w's edge waits for a request.
func (w *world) front() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := w.listener.dial(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	synctest.Wait()
	return conn, bufio.NewReader(conn)
}

func inFront(t *testing.T, test func(*testing.T, *world)) {
	inWorldOf(t, newRestingPipe, true, func(s *settings) { s.Drain = 0 }, test)
}

func TestNewcomerThatSaysNothing(t *testing.T) {
	inFront(t, func(t *testing.T, w *world) {
		conn, _ := w.front()
		start := time.Now()
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
		if lived := time.Since(start); lived < headTimeout || lived > headTimeout+maxTurn {
			t.Errorf("closed after %v", lived)
		}
		synctest.Wait()
		if n := w.edge.ceiling.apart.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// A drain does not wait for those that say nothing, but for what may be on its way.
func TestDrainOfNewcomers(t *testing.T) {
	inFront(t, func(t *testing.T, w *world) {
		silent, _ := w.front()
		late, reader := w.front()
		start := time.Now()
		go func() {
			time.Sleep(headGrace / 2)
			io.WriteString(late, "GET /sub/?CHANNEL_ID=wrong HTTP/1.1\r\nHost: a\r\n\r\n")
		}()
		go io.Copy(io.Discard, silent)
		go w.edge.Drain(t.Context())
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusBadRequest || !response.Close {
			t.Errorf("%+v, %v", response, err)
		}
		for len(w.edge.wheel.members()) > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took < headGrace || took > headGrace+100*time.Millisecond {
			t.Errorf("drained in %v", took)
		}
	})
}

// However a request comes and whatever it is for, it is answered, and those behind it on its connection.
func TestRequestsOfAllKindsAtTheFront(t *testing.T) {
	inFront(t, func(t *testing.T, w *world) {
		poll := "GET /sub/?CHANNEL_ID=" + signed(alice) + "&mid=" + strings.Repeat("0", 26) + " HTTP/1.1\r\nHost: a\r\n"
		m := w.publish(`{}`, alice)
		for _, c := range []struct {
			name   string
			pieces []string
			want   int
			body   string
			closes bool
		}{
			{"whole", []string{poll + "\r\n"}, 200, text(m, alice), false},
			{"in pieces", []string{poll[:30], poll[30:], "\r\n"}, 200, text(m, alice), false},
			{"wrong ids", []string{"GET /sub/?CHANNEL_ID=x HTTP/1.1\r\nHost: a\r\n\r\n"}, 400, "4010: Wrong Channel Id.", true},
			{"an origin that may not", []string{poll + "Origin: http://evil.example\r\n\r\n"}, 403, "", true},
			{"an upgrade that is none", []string{poll + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"}, 400, "unsupported WebSocket protocol version (only 13 is supported): \"\"\n", true},
			{"one that is not kept", []string{poll + "Connection: close\r\n\r\n"}, 200, text(m, alice), true},
			{"another path", []string{"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"}, 404, "", false},
			{"another method", []string{"OPTIONS /sub/ HTTP/1.1\r\nHost: a\r\n\r\n"}, 200, "", false},
			{"no HTTP", []string{"hello\r\n\r\n"}, 400, "400 Bad Request", true},
		} {
			w.edge.config.Origins = []string{"*"}
			if c.want == 403 {
				w.edge.config.Origins = nil
			}
			conn, reader := w.front()
			go func() {
				for _, piece := range c.pieces {
					io.WriteString(conn, piece)
				}
			}()
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != c.want || string(body) != c.body || response.Close != c.closes {
				t.Errorf("%s: %d %q, close %t, %v", c.name, response.StatusCode, body, response.Close, err)
			}
			if c.closes {
				conn.SetReadDeadline(time.Now().Add(time.Hour))
				if n, err := reader.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: %d bytes, %v", c.name, n, err)
				}
				conn.Close()
				continue
			}
			w.edge.config.Origins = []string{"*"}
			go io.WriteString(conn, poll+"\r\n")
			response, err = http.ReadResponse(reader, nil)
			if err != nil {
				t.Errorf("%s, then a poll: %v", c.name, err)
				continue
			}
			if body, _ := io.ReadAll(response.Body); !bytes.Equal(body, []byte(text(m, alice))) {
				t.Errorf("%s, then a poll: %d %q", c.name, response.StatusCode, body)
			}
			conn.Close()
		}
		synctest.Wait()
		if n := w.edge.ceiling.apart.Load(); n != 0 || len(w.edge.wheel.members()) != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}
