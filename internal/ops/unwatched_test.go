package ops

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// single is a listener to which one connection comes.
type single struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *single) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *single) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// unwatchedServer serves one connection, of which it gives the other end, until the test ends. What is written there is read in the same pieces.
func unwatchedServer(t *testing.T, handler http.HandlerFunc) (net.Conn, *bufio.Reader) {
	t.Helper()
	here, there := net.Pipe()
	l := &single{conns: make(chan net.Conn, 1)}
	l.conns <- there
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeaderBytes}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(unwatched{l}) })
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { server.Close() })
	t.Cleanup(func() { here.Close() })
	if err := here.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return here, bufio.NewReader(here)
}

func wantAnswer(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != want || answer.StatusCode != 200 {
		t.Fatalf("%d %q, %v; want %q", answer.StatusCode, body, err, want)
	}
}

// TestNobodyWatches: if net/http came to watch by other means, what is saved by Brief would be lost without a word.
func TestNobodyWatches(t *testing.T) {
	conn, r := unwatchedServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		stacks := ""
		for end := time.Now().Add(5 * time.Second); stacks == "" && time.Now().Before(end); runtime.Gosched() {
			b := make([]byte, 1<<20)
			if b = b[:runtime.Stack(b, true)]; !strings.Contains(string(b), "backgroundRead") {
				stacks = string(b)
			}
		}
		if stacks == "" {
			t.Error("somebody watches")
		}
		fmt.Fprint(w, string(body), r.Context().Err())
	})
	for i := range 10 {
		body := strings.Repeat("x", i)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, body)
		wantAnswer(t, r, body+"<nil>")
	}
}

// TestUnwatchedHeadsOfAllLengths has the buffer of net/http, of 4096 bytes, filled up to its last one, for which it then reads a single byte.
func TestUnwatchedHeadsOfAllLengths(t *testing.T) {
	conn, r := unwatchedServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(r.Header.Get("Long")), string(body), err)
	})
	for n := 4100; n < 4140; n++ {
		request := "POST / HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", n) + "\r\nContent-Length: 5\r\n\r\nhello"
		for cut := 4110; cut < 4130; cut++ {
			fmt.Fprint(conn, request[:cut])
			fmt.Fprint(conn, request[cut:])
			wantAnswer(t, r, fmt.Sprint(n, "hello", "<nil>"))
		}
	}
}

// TestUnwatchedRequestsInARow: what comes behind a request that is being answered is the next one.
func TestUnwatchedRequestsInARow(t *testing.T) {
	conn, r := unwatchedServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(body), err)
	})
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		fmt.Fprint(conn, strings.Repeat("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\ny", 300))
	})
	for range 300 {
		wantAnswer(t, r, "y<nil>")
	}
}
