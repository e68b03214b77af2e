package publisher

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

func TestAnswersInTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  time.Duration // that the log answers
		status int
		taken  time.Duration
	}{
		{"quick", time.Millisecond, 200, time.Millisecond},
		{"just in time", 799 * time.Millisecond, 200, 799 * time.Millisecond},
		{"too slow", time.Hour, 503, 800 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			wait := func(ctx context.Context) error {
				select {
				case <-time.After(c.after):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			f := &fake{
				append: func(ctx context.Context, _ *proto.Message) (proto.Receipt, error) {
					return proto.Receipt{ID: proto.ID{Sequence: 1}}, wait(ctx)
				},
				online:    func(ctx context.Context, ids []channel.ID) ([]int, error) { return make([]int, len(ids)), wait(ctx) },
				processes: func(ctx context.Context) ([]proto.Process, error) { return nil, wait(ctx) },
			}
			for _, target := range []string{"POST /pub/?CHANNEL_ID=" + idA, "GET /pub/?CHANNEL_ID=" + idA, "GET /server-stat/"} {
				method, path, _ := strings.Cut(target, " ")
				start := time.Now()
				w := newPublisher(config(t), f).do(request(method, path, "hello"))
				if taken := time.Since(start); w.Code != c.status || taken != c.taken {
					t.Errorf("%s, %s: %d after %v, want %d after %v", target, c.name, w.Code, taken, c.status, c.taken)
				}
			}
		})
	}
}

// TestPortalHangsUp: PHP does not always wait for the answer, and its message is published all the
// same.
func TestPortalHangsUp(t *testing.T) {
	f := &fake{append: func(ctx context.Context, _ *proto.Message) (proto.Receipt, error) {
		return proto.Receipt{ID: proto.ID{Sequence: 1}}, ctx.Err()
	}}
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	if w := newPublisher(config(t), f).do(request("POST", "/pub/?CHANNEL_ID="+idA, "hello").WithContext(ctx)); w.Code != 200 {
		t.Error(w.Code)
	}
}

// pipes is a listener inside a bubble. Its connections come from loopback.
type pipes struct {
	conns chan net.Conn
	ctx   context.Context
}

type loopbackConn struct{ net.Conn }

func (loopbackConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}
}

func (l pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return loopbackConn{conn}, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestUploads goes through a whole server: bodies that stop, bodies that break off, bodies that the
// handler does not read.
func TestUploads(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
	for _, c := range []struct {
		name, sent string
		status     int
		taken      time.Duration
		closed     bool
	}{
		{"complete", "POST /pub/?CHANNEL_ID=" + idA + head + "hello", 200, 0, false},
		{"stops", "POST /pub/?CHANNEL_ID=" + idA + head + "hel", 408, uploadTimeout, true},
		{"stops, not found", "POST /else/" + head + "hel", 404, uploadTimeout, true},
		{"stops, not read", "GET /pub/?CHANNEL_ID=" + idA + head + "hel", 200, uploadTimeout, true},
		{"bad chunk", "POST /pub/?CHANNEL_ID=" + idA + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, 0, true},
		{"too large", "POST /pub/?CHANNEL_ID=" + idA + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413, 0, true},
		{"HTTP/1.0", "POST /pub/?CHANNEL_ID=" + idA + " HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 200, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &http.Server{Handler: newPublisher(config(t), &fake{}).Handler()}
			listener := pipes{make(chan net.Conn), t.Context()}
			go server.Serve(listener)
			ours, theirs := net.Pipe()
			defer ours.Close()
			listener.conns <- theirs
			start := time.Now()
			go io.WriteString(ours, c.sent)
			answers := bufio.NewReader(ours)
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			defer resp.Body.Close()
			if taken := time.Since(start); resp.StatusCode != c.status || taken != c.taken {
				t.Errorf("%s: %d after %v, want %d after %v", c.name, resp.StatusCode, taken, c.status, c.taken)
			}
			io.Copy(io.Discard, resp.Body)
			if !c.closed {
				return
			}
			if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: the connection stays: %v", c.name, err)
			}
		})
	}
}
