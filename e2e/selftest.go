package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// SelfTest does the same as the portal's check_pull_stream, step by step and byte for byte. Instead
// of a pause of a second before it publishes, it waits until the poll is there, beside as many
// others as the edges have already.
func SelfTest(t *testing.T, w *World) {
	t.Helper()
	id := NewChannel()
	others, err := w.Total(t.Context(), longPolls)
	if err != nil {
		t.Fatal(err)
	}

	poll := dial(t, w.Public)
	fmt.Fprintf(poll, "GET /bitrix/sub/?CHANNEL_ID=%s HTTP/1.0\r\nIf-Modified-Since: %s\r\nHost: portal.example.com\r\n\r\n",
		w.Signed(id), time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	w.await(t, longPolls, others+1)

	random := make([]byte, 16)
	rand.Read(random)
	text := hex.EncodeToString(random)
	post := dial(t, w.Internal)
	fmt.Fprintf(post, "POST "+w.Portals[0].pubPath()+"?CHANNEL_ID=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nAccept-Language: en\r\nConnection: close\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", id, len(text), text)
	answer, err := io.ReadAll(post)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || body != "" {
		t.Errorf("the post was answered %q", answer)
	}

	// One read, as fread(4096) on the portal's socket: head and body must be in it.
	once := make([]byte, 4096)
	n, err := poll.Read(once)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(once[:n]), "\r\n\r\n")
	if !ok || !strings.Contains(head, " 200 ") || !strings.Contains(body, text) {
		t.Errorf("one read of the poll gave %q", once[:n])
	}
	if rest, err := io.ReadAll(poll); err != nil || len(rest) != 0 {
		t.Errorf("then came %q, %v", rest, err)
	}

	forget := dial(t, w.Internal)
	fmt.Fprintf(forget, "DELETE "+w.Portals[0].pubPath()+"?CHANNEL_ID=%s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", id)
	answer, err = io.ReadAll(forget)
	if status, _, _ := strings.Cut(string(answer), "\r\n"); err != nil || !strings.HasPrefix(status, "HTTP/1.") || !strings.Contains(status, " 404 ") {
		t.Errorf("DELETE was answered %q, %v", answer, err)
	}
}

// dial connects until the test ends, with 10 s for everything.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// The series of connections of one transport.
const (
	longPolls  = `pushgate_connections{transport="longpoll"}`
	webSockets = `pushgate_connections{transport="websocket"}`
)

// Total returns what the edges together count in a series.
func (w *World) Total(ctx context.Context, series string) (total float64, err error) {
	for _, edge := range w.Edges {
		n, err := edge.Metric(ctx, series)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// await waits until the edges together count so many in a series.
func (w *World) await(t *testing.T, series string, want float64) {
	t.Helper()
	err := w.Edges[0].Await(t.Context(), func(ctx context.Context) error {
		total, err := w.Total(ctx, series)
		if err == nil && total != want {
			err = fmt.Errorf("%s is %v, want %v", series, total, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
