package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"pushgate/internal/netpoll"
)

// TestTakeOverRefusesBodies: a request with a body is refused, whether its length is announced or
// it comes in chunks. The bytes of a body must not be taken for what follows the request.
func TestTakeOverRefusesBodies(t *testing.T) {
	var running sync.WaitGroup
	heartbeats := netpoll.NewHeartbeats(5*time.Second, nil)
	conns := netpoll.New(running.Go)
	server := New(Config{Handler: http.HandlerFunc(echo), Conns: conns, Heartbeats: heartbeats})
	outer := httptest.NewServer(http.HandlerFunc(server.TakeOver))
	for rest, want := range map[string]int{
		"\r\n":                         200,
		"Content-Length: 3\r\n\r\nabc": 400,
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n": 400,
	} {
		conn, err := net.Dial("tcp", outer.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: push.test\r\n"+rest)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != want {
			t.Errorf("%q: %v, %v; want %d", rest, answer, err, want)
		}
		conn.Close()
	}
	outer.Close()
	heartbeats.Close()
	conns.Close()
	running.Wait()
}
