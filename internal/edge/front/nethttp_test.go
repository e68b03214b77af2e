package front

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/testkit"
)

// served is the request that a handler got.
type served struct{ Method, URL, Proto, Host, Header string }

func servedOf(r *http.Request) *served {
	return &served{r.Method, r.URL.String(), r.Proto, r.Host, fmt.Sprint(r.Header)}
}

// memoryConn is a connection on which some bytes have come and no more will.
type memoryConn struct {
	bytes.Reader
	closed chan struct{}
	once   sync.Once
}

func (c *memoryConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *memoryConn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// netHTTP is a server of net/http that reports the first request of each connection that its
// handler gets. It needs a bubble, because it sleeps for half a second after a refusal.
type netHTTP struct {
	conns chan net.Conn
	first *served
}

func newNetHTTP(t testing.TB) *netHTTP {
	h := &netHTTP{conns: make(chan net.Conn)}
	server := &http.Server{
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h.first == nil {
				h.first = servedOf(r)
			}
			w.Header().Set("Connection", "close")
		}),
	}
	go server.Serve(h)
	t.Cleanup(func() { server.Close() })
	return h
}

func (h *netHTTP) Accept() (net.Conn, error) {
	conn, ok := <-h.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (h *netHTTP) Close() error   { close(h.conns); return nil }
func (h *netHTTP) Addr() net.Addr { return &net.TCPAddr{} }

// serve returns the request that the handler gets for a text; nil if it gets none.
func (h *netHTTP) serve(text []byte) *served {
	h.first = nil
	conn := &memoryConn{closed: make(chan struct{})}
	conn.Reset(text)
	h.conns <- conn
	<-conn.closed
	return h.first
}

// ours returns the request that this package parses from a text, likewise.
func ours(text []byte) *served {
	end := endOfHead(text, 0)
	if end == 0 {
		return nil
	}
	r, _ := parse(text[:end])
	if r == nil {
		return nil
	}
	return servedOf(r)
}

// stricter reports whether a head is one that net/http serves and this package refuses.
func stricter(text []byte) bool {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	return err == nil && (r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header["Expect"] != nil ||
		r.URL.Host != "" || r.Host == "" || r.ProtoMajor != 1 || r.ProtoMinor > 1)
}

func compare(t testing.TB, h *netHTTP, text []byte) (accepted bool) {
	t.Helper()
	want, got := h.serve(text), ours(text)
	switch {
	case got == nil && want == nil:
	case got == nil && stricter(text):
	case got == nil, want == nil, *got != *want:
		t.Errorf("%q:\n ours     %+v\n net/http %+v", text, got, want)
	}
	return got != nil
}

var heads = []string{
	"GET /bitrix/subws/?CHANNEL_ID=0123456789abcdef0123456789abcdef.s&mid=12&clientId=a%20b HTTP/1.1\r\n" +
		"Host: push.test:8010\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://portal.test\r\n\r\n",
	"GET /bitrix/sub/?CHANNEL_ID=a/b&_=1 HTTP/1.0\r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1\r\nAccept: */*\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nX-Folded: a\r\n b\r\n\tc\r\n\r\n",
	"POST /pub HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
	"GET http://a/b HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
}

// mutate changes a head in one to four places.
func mutate(random *rand.Rand, head string) []byte {
	text := []byte(head)
	bits := []string{"\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", "\x00", "\x7f", "\xc3\xa4", ":", ",", "%", "%2e%2e/", "//",
		"HTTP/1.2", "HTTP/2.0", "HTTP/1.1", "Host: b\r\n", "Host:\r\n", "Content-Length: 0\r\n", "Connection: close\r\n", "?", "#", "@", "[", "a b"}
	for range 1 + random.IntN(4) {
		at := random.IntN(len(text))
		end := min(len(text), at+1+random.IntN(8))
		switch random.IntN(6) {
		case 0:
			text[at] = byte(random.IntN(256))
		case 1:
			text = slices.Delete(text, at, end)
		case 2:
			text = slices.Insert(text, at, []byte(bits[random.IntN(len(bits))])...)
		case 3:
			text = slices.Replace(text, at, end, []byte(bits[random.IntN(len(bits))])...)
		case 4: // a line twice
			lines := strings.SplitAfter(string(text), "\n")
			line := random.IntN(len(lines))
			text = []byte(strings.Join(slices.Insert(lines, line, lines[line]), ""))
		case 5:
			text[at] ^= 1 << random.IntN(8)
		}
		if len(text) == 0 {
			return text
		}
	}
	return text
}

// TestSameAsNetHTTP: net/http has been attacked for years. Whatever it refuses is refused here, and
// if both serve a head, they read the same request from it.
func TestSameAsNetHTTP(t *testing.T) { synctest.Test(t, testSameAsNetHTTP) }

func testSameAsNetHTTP(t *testing.T) {
	h := newNetHTTP(t)
	n := 300_000
	if testing.Short() || testkit.Race {
		n = 30_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range n {
		if compare(t, h, mutate(random, heads[random.IntN(len(heads))])) {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	if accepted < n/20 || accepted > n*19/20 {
		t.Errorf("%d of %d are served: too few or too many to say much", accepted, n)
	}
}

func FuzzSameAsNetHTTP(f *testing.F) {
	for _, head := range heads {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		synctest.Test(t, func(t *testing.T) { compare(t, newNetHTTP(t), text) })
	})
}
