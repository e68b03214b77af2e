package edge

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A client that sends frames together with its handshake is one connection, and rests like others.
func TestFramesTogetherWithTheHandshake(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for _, channels := range []string{signed(alice), "wrong"} {
			server, client := w.listener.pipe()
			w.edge.accept(server)
			go io.WriteString(client, "GET /subws/?CHANNEL_ID="+channels+" HTTP/1.1\r\nHost: push.test\r\nConnection: Upgrade\r\n"+
				"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+
				"\x89\x81\x00\x00\x00\x00a\x89\x81\x00\x00\x00\x00b")
			from := bufio.NewReader(client)
			if r, err := http.ReadResponse(from, nil); err != nil || r.StatusCode != 101 {
				t.Fatal(r, err)
			}
			synctest.Wait()
			if n := w.edge.shared.Conns.Open(); n != 1 {
				t.Errorf("one connection counts as %d", n)
			}
			if channels != "wrong" {
				var pongs [6]byte
				if _, err := io.ReadFull(from, pongs[:]); err != nil || string(pongs[:]) != "\x8a\x01a\x8a\x01b" {
					t.Errorf("%q, %v", pongs, err)
				}
			}
			client.Close()
			time.Sleep(time.Minute)
			if n := w.edge.shared.Conns.Open(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
		}
	})
}
