package edge

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/wire"
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

// TestMessageDuringTheHandshake: a client has the answer to its handshake before the server knows
// it. What is published then is for that client, too.
func TestMessageDuringTheHandshake(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		server, client := w.listener.pipe()
		defer client.Close()
		w.edge.accept(server)
		go io.WriteString(client, "GET /subws/?CHANNEL_ID="+signed(alice)+" HTTP/1.1\r\nHost: push.test\r\nConnection: Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		synctest.Wait()
		first := make([]byte, 1) // the server's Write lasts until all of it has been read
		if _, err := io.ReadFull(client, first); err != nil {
			t.Fatal(err)
		}
		m := w.publish(`1`, alice)
		from := bufio.NewReader(io.MultiReader(bytes.NewReader(first), client))
		if r, err := http.ReadResponse(from, nil); err != nil || r.StatusCode != 101 {
			t.Fatal(r, err)
		}
		frame := make([]byte, len(wire.TextFrame(m, 0).WebSocket()))
		client.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(from, frame); err != nil || !bytes.Equal(frame, wire.TextFrame(m, 0).WebSocket()) {
			t.Errorf("%q, %v", frame, err)
		}
	})
}

// TestResetDuringTheHandshake: the session of a client that is gone before its handshake is done
// ends.
func TestResetDuringTheHandshake(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		server, client := w.listener.pipe()
		w.edge.accept(server)
		go io.WriteString(client, "GET /subws/?CHANNEL_ID="+signed(alice)+" HTTP/1.1\r\nHost: push.test\r\nConnection: Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		synctest.Wait()
		client.Close()
		time.Sleep(time.Minute)
		if n, channels := w.edge.personal().sessions(), w.edge.channels(); n != 0 || channels != 0 {
			t.Errorf("%d sessions and %d channels are left", n, channels)
		}
	})
}
