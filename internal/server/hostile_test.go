package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

const key = "a key that only these tests have"

// TestHostileRequests sends hostile requests through real listeners. Each is refused in its own way
// and counted, and subscribes and publishes nothing. Afterwards the programs work as before.
func TestHostileRequests(t *testing.T) {
	w := start(t, onePortal(key))
	id := testkit.Channel(1)
	good := testkit.Signer(key).Sign(channel.Ref{Private: id}).String()
	bad := id.String() + "." + strings.Repeat("0", 40)
	const (
		netHTTP   = "pushgate_http_refused_total"
		subscribe = "pushgate_subscribe_refused_total"
		publish   = "pushgate_publish_refused_total"
	)
	get := func(query string) string {
		return "GET /bitrix/sub/?" + query + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	}
	post := func(query, rest string) string {
		return "POST /bitrix/pub/?" + query + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + rest
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, sent, want string // want is part of the first line of the answer; empty: no answer
		// Of those above; empty: nothing is requested, so nothing is refused.
		counter string
	}{
		// Heads.
		{"a flood of headers", "GET /bitrix/sub/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Flood: "+long(50)+"\r\n", 2000) + "\r\n", "431", netHTTP},
		{"one long header", "GET /bitrix/sub/ HTTP/1.1\r\nHost: x\r\nX: " + long(100<<10) + "\r\n\r\n", "431", netHTTP},
		{"a long query", get("CHANNEL_ID=" + good + "&x=" + long(70<<10)), "431", netHTTP},
		{"a long channel list", get("CHANNEL_ID=" + strings.Repeat(good+"/", 1000) + good), "431", netHTTP},
		{"a list below the limit", get("CHANNEL_ID=" + strings.Repeat(good+"/", 500) + good), "400", subscribe},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400", netHTTP},
		{"a version to come", "GET /bitrix/sub/ HTTP/3.0\r\nHost: x\r\n\r\n", "505", netHTTP},
		{"HTTP/0.9", "GET /bitrix/sub/\r\n\r\n", "400", netHTTP},
		{"no host", "GET /bitrix/sub/ HTTP/1.1\r\n\r\n", "400", netHTTP},
		{"two hosts", "GET /bitrix/sub/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400", netHTTP},
		{"a NUL", "GET /bitrix/sub/?CHANNEL_ID=\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "400", netHTTP},
		{"a header of control characters", "GET /bitrix/sub/ HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", "400", netHTTP},
		{"a space before the colon", post("CHANNEL_ID="+id.String(), "Content-Length : 5\r\n\r\nhello"), "400", netHTTP},
		{"an expectation", post("CHANNEL_ID="+id.String(), "Expect: miracles\r\nContent-Length: 5\r\n\r\nhello"), "417", netHTTP},

		// Bodies, and where they end. If a proxy and a server disagree on it, one of them sees two
		// requests where the other sees one.
		{"two lengths", post("CHANNEL_ID="+id.String(), "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), "400", netHTTP},
		{"a negative length", post("CHANNEL_ID="+id.String(), "Content-Length: -5\r\n\r\nhello"), "400", netHTTP},
		{"a length of more digits than bytes", post("CHANNEL_ID="+id.String(), "Content-Length: 99999999999999999999\r\n\r\nhello"), "400", netHTTP},
		{"an unknown coding", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "501", netHTTP},
		{"two codings", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "501", netHTTP},
		{"a bad chunk", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"), "400", publish},
		{"a chunk of more digits than bytes", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n"), "400", publish},
		{"chunks that are all extension", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: chunked\r\n\r\n"+
			strings.Repeat("1;"+long(4000)+"\r\nx\r\n", 100)+"0\r\n\r\n"), "400", publish},
		{"an endless body", post("CHANNEL_ID="+id.String(), "Transfer-Encoding: chunked\r\n\r\n"+
			strings.Repeat("10000\r\n"+long(1<<16)+"\r\n", 17)), "413", publish},
		{"a huge length", post("CHANNEL_ID="+id.String(), "Content-Length: 9223372036854775807\r\n\r\nhello"), "413", publish},

		// Queries.
		{"bytes that are not UTF-8", get("CHANNEL_ID=%ff%fe" + good), "400", subscribe},
		{"raw bytes that are not UTF-8", get("CHANNEL_ID=\xff\xfe" + good), "400", subscribe},
		{"an id of other digits", get("CHANNEL_ID=" + strings.Repeat("\uff11", 32)), "400", subscribe},
		{"a bad escape", get("CHANNEL_ID=%zz" + good), "400", subscribe},
		{"a wrong list before the right one", get("CHANNEL_ID=" + bad + "&CHANNEL_ID=" + good), "400", subscribe},
		{"an empty list before the right one", get("CHANNEL_ID=&CHANNEL_ID=" + good), "400", subscribe},
		{"a token before the right list", get("token=x&CHANNEL_ID=" + good), "400", subscribe},
		{"a name in other letters", get("channel_id=" + good), "400", subscribe},
		{"many parameters", get(strings.Repeat("a&", 20_000) + "CHANNEL_ID=" + bad), "400", subscribe},
		{"a semicolon", get("CHANNEL_ID=" + good + ";"), "400", subscribe},
		{"no UTF-8, posting", post("CHANNEL_ID=%ff%fe"+id.String(), "Content-Length: 5\r\n\r\nhello"), "400", publish},
		{"a wrong list before the right one, posting", post("CHANNEL_ID=zz&CHANNEL_ID="+id.String(), "Content-Length: 5\r\n\r\nhello"), "400", publish},
		{"a wrong signature before the right one", "POST /bitrix/api/?signature=00&signature=" + testkit.Signer(key).SignBody([]byte("[]")) +
			" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]", "400", publish},
	} {
		p := w.edge
		if strings.HasPrefix(c.sent, "POST") {
			p = w.publisher
		}
		before, published := p.metric(t, c.counter, ""), w.publisher.metric(t, "pushgate_published_total", "")
		if got := w.raw(p, c.sent); !strings.Contains(got, " "+c.want+" ") {
			t.Errorf("%s: %q, want %s", c.name, got, c.want)
		}
		testkit.Eventually(t, "counted: "+c.name, func() bool { return p.metric(t, c.counter, "") == before+1 })
		if n := w.publisher.metric(t, "pushgate_published_total", ""); n != published {
			t.Errorf("%s: published", c.name)
		}
	}

	// Chunks take precedence over a length (RFC 9112, 6.3), and the connection ends with the
	// answer: what follows is not read as a request.
	smuggled := "POST /bitrix/pub/?CHANNEL_ID=" + id.String() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"0\r\n\r\nPOST /bitrix/pub/?CHANNEL_ID=" + id.String() + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
	conn, err := net.Dial("tcp", w.publisher.addr)
	w.must(err)
	defer conn.Close()
	w.must(conn.SetDeadline(time.Now().Add(15 * time.Second)))
	fmt.Fprint(conn, smuggled)
	// The first request is an empty post. Unread bytes may reset the connection.
	if answers, _ := io.ReadAll(conn); strings.Count(string(answers), "HTTP/1.1 ") != 1 || !strings.HasPrefix(string(answers), "HTTP/1.1 400 ") {
		t.Errorf("smuggled: %q", answers)
	}
	if n := w.publisher.metric(t, "pushgate_published_total", ""); n != 0 {
		t.Errorf("%v published by hostile requests", n)
	}
	w.works(good, id)
}

// TestSlowHeads holds many connections open with heads that never end. Other requests are served
// meanwhile, and each of these connections ends in time.
func TestSlowHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a time-out of ten seconds")
	}
	w := start(t, onePortal(key))
	var slow []net.Conn
	for range 200 {
		conn, err := net.Dial("tcp", w.edge.addr)
		w.must(err)
		defer conn.Close()
		fmt.Fprintf(conn, "GET /bitrix/sub/ HTTP/1.1\r\nHost: x\r\nX: ")
		slow = append(slow, conn)
	}
	id := testkit.Channel(2)
	w.works(testkit.Signer(key).Sign(channel.Ref{Private: id}).String(), id)
	for _, conn := range slow {
		w.must(conn.SetReadDeadline(time.Now().Add(15 * time.Second)))
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatal("the server still waits for a head that never ends:", err)
		}
	}
	testkit.Eventually(t, "all counted", func() bool { return w.edge.metric(t, "pushgate_http_refused_total", "") == 200 })
}

// works checks that a message is delivered.
func (w *world) works(list string, id channel.ID) {
	w.t.Helper()
	conn, err := w.dial("CHANNEL_ID=" + list)
	w.must(err)
	defer conn.CloseNow()
	w.subscribed(1)
	if status, body := w.do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+id.String(), `{"module_id":"im","command":"well"}`); status != 200 {
		w.t.Fatalf("posting: %d %s", status, body)
	}
	if frame, err := w.read(conn); err != nil || !strings.Contains(frame, "well") {
		w.t.Errorf("%q, %v", frame, err)
	}
	for _, p := range []program{w.edge, w.publisher} {
		if body := w.get(p.admin, "/readyz"); body != "ok\n" {
			w.t.Error(body)
		}
	}
}
