package ops

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn net.Conn
	once sync.Once
	gone chan struct{}
}

func (l *oneConn) Accept() (conn net.Conn, err error) {
	l.once.Do(func() { conn = l.conn })
	if conn == nil {
		<-l.gone
		err = net.ErrClosed
	}
	return conn, err
}

func (l *oneConn) Close() error   { close(l.gone); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestRequestsThatNeverComeAreCutOff: a client that sends nothing, or sends byte by byte, is cut
// off when its time is over.
func TestRequestsThatNeverComeAreCutOff(t *testing.T) {
	for name, text := range map[string]string{"slowly": "GET /bitrix/subws/?CHANNEL_ID=0123456789abcdef HTTP/1.1\r\n", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				s := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
				listener := &oneConn{conn: server, gone: make(chan struct{})}
				var serving sync.WaitGroup
				serving.Go(func() { s.Serve(listener) })
				start := time.Now()
				serving.Go(func() {
					for _, b := range []byte(text) {
						if _, err := client.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				io.Copy(io.Discard, bufio.NewReader(client))
				if took := time.Since(start); took != readHeaderTimeout {
					t.Errorf("cut off after %v, want %v", took, readHeaderTimeout)
				}
				client.Close()
				s.Close()
				serving.Wait()
			})
		})
	}
}
