package publisher

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/testkit"
)

// TestSlowOutsiders goes through a whole server with bodies that stop. An outsider has less time,
// and none if its post cannot be signed.
func TestSlowOutsiders(t *testing.T) {
	const outside = "X-Forwarded-For: 192.0.2.1\r\n"
	possible := "signature=" + strings.Repeat("0", 40)
	for _, c := range []struct {
		name, target, header string
		status               int
		taken                time.Duration
	}{
		{"in an allowed network", "/pub/?CHANNEL_ID=" + idA, "", 408, uploadTimeout},
		{"in an allowed network, version 5", "/api/?" + possible, "", 408, uploadTimeout},
		{"outside", "/pub/?CHANNEL_ID=" + idA + "&" + possible, outside, 408, unprovenTimeout},
		{"outside, binary", "/pub/?binaryMode=true&" + possible, outside, 408, unprovenTimeout},
		{"outside, version 5", "/api/?" + possible, outside, 408, unprovenTimeout},
		{"by a page", "/pub/?CHANNEL_ID=" + idA + "&" + possible, "Origin: https://evil.test\r\n", 408, unprovenTimeout},
		{"registration", "/register-client/", outside, 408, unprovenTimeout},
		{"without a signature", "/pub/?CHANNEL_ID=" + idA, outside, 403, 0},
		{"with no signature", "/pub/?CHANNEL_ID=" + idA + "&signature=x", outside, 403, 0},
		{"with no signature, binary", "/pub/?binaryMode=true&signature=x", outside, 400, 0},
		{"with no signature, version 5", "/api/?signature=x", outside, 400, 0},
		{"without a signature, version 5", "/api/", outside, 400, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &http.Server{Handler: newPublisher(config(t), &fake{}).Handler()}
			listener := pipes{make(chan net.Conn), t.Context()}
			go server.Serve(listener)
			ours, theirs := net.Pipe()
			var sending sync.WaitGroup
			defer sending.Wait()
			defer ours.Close()
			listener.conns <- theirs
			start := time.Now()
			sending.Go(func() { // a byte in every second does not help
				io.WriteString(ours, "POST "+c.target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"+c.header+"\r\n")
				for range 100 {
					if _, err := ours.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			if taken := time.Since(start); resp.StatusCode != c.status || taken != c.taken || !resp.Close {
				t.Errorf("%s: %d after %v, closed %v, want %d after %v", c.name, resp.StatusCode, taken, resp.Close, c.status, c.taken)
			}
		})
	}
}

// stopping is a body that blocks until it is released, and then ends.
type stopping struct {
	io.Reader
	release <-chan struct{}
}

func (s stopping) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF {
		<-s.release
		return n, errors.New("broken off")
	}
	return n, err
}

// TestUnprovenBodiesAreBounded makes hundreds of outsiders send most of a mebibyte each and then
// stop. The memory that is held is bounded, further outsiders are refused with 429, a portal in an
// allowed network is not delayed, and in the end nothing is held.
func TestUnprovenBodiesAreBounded(t *testing.T) {
	const senders, limit = 300, 16 << 20
	part := strings.Repeat("x", 1<<20-1)
	synctest.Test(t, func(t *testing.T) {
		c := config(t)
		c.MaxUnproven = limit
		p := newPublisher(c, &fake{})
		release := make(chan struct{})
		var mu sync.Mutex
		statuses := make(map[int]int)
		var sending sync.WaitGroup
		for i := range senders {
			sending.Go(func() {
				target := []string{"/pub/?CHANNEL_ID=" + idA, "/pub/?binaryMode=true", "/api/?a=b"}[i%3]
				r := request("POST", target+"&signature="+strings.Repeat("0", 40), "")
				r.RemoteAddr = "192.0.2.1:" + strconv.Itoa(i+1)
				r.ContentLength = 1 << 20
				r.Body = io.NopCloser(stopping{strings.NewReader(part), release})
				w := p.do(r)
				mu.Lock()
				defer mu.Unlock()
				statuses[w.Code]++
				if w.Code == 429 && (w.Header().Get("Retry-After") != "1" || w.Header().Get("Connection") != "close") {
					t.Errorf("refused with %v", w.Header())
				}
			})
		}
		synctest.Wait()
		held := p.unproven.held.Load()
		if held > limit || held < limit/2 {
			t.Errorf("%d bytes are held, of at most %d", held, limit)
		}
		body := strings.Repeat("y", 1<<20)
		for range 3 {
			if w := p.do(request("POST", "/pub/?CHANNEL_ID="+idA, body)); w.Code != 200 {
				t.Errorf("unsigned, from an allowed network: %d", w.Code)
			}
		}
		call := publishCall(`{"userList":[5],"body":{}}`)
		if w := p.do(request("POST", "/api/?signature="+testkit.Signer(testKey).SignBody([]byte(call)), call)); w.Code != 200 {
			t.Errorf("signed, from an allowed network: %d", w.Code)
		}
		close(release)
		sending.Wait()
		refused := testutil.ToFloat64(p.metrics.refused[tooManyUnproven])
		if statuses[429] == 0 || statuses[400] == 0 || statuses[400]+statuses[429] != senders || refused != float64(statuses[429]) {
			t.Errorf("answers %v, %v counted", statuses, refused)
		}
		if held := p.unproven.held.Load(); held != 0 {
			t.Errorf("%d bytes are held in the end", held)
		}
		r := request("POST", "/pub/?CHANNEL_ID="+idA+"&signature="+testkit.Signer(testKey).SignBody([]byte(body)), body)
		r.RemoteAddr = "192.0.2.1:1"
		if w := p.do(r); w.Code != 200 {
			t.Errorf("signed, from outside, afterwards: %d", w.Code)
		}
	})
}
