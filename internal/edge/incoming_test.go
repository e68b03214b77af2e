package edge

import (
	"bytes"
	"context"
	bigendian "encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/transport"

	"github.com/coder/websocket"
)

// part returns a client's frame that is not the last one of its message. Opcode 0 continues a
// message.
func part(opcode byte, payload string) []byte {
	frame := masked(opcode, payload)
	frame[0] &^= 0x80
	return frame
}

// longFrame returns a frame of a client that announces size bytes, of which payload comes.
func longFrame(first byte, size int, payload []byte) []byte {
	head := bigendian.BigEndian.AppendUint64([]byte{first, 0xff}, uint64(size))
	return append(append(head, 0, 0, 0, 0), payload...)
}

// drip writes pieces to conn, one each second, until it fails or ctx ends.
func drip(ctx context.Context, conn net.Conn, pieces func(i int) []byte) {
	for i := 0; ; i++ {
		if piece := pieces(i); len(piece) > 0 {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
		if wait(ctx, time.Second) != nil {
			return
		}
	}
}

// TestMessageWithoutEnd: a client that has begun a message must end it in time, in whatever frames
// it sends the message, and whatever else it sends meanwhile.
func TestMessageWithoutEnd(t *testing.T) {
	bytewise := func(frame []byte) func(int) []byte {
		return func(i int) []byte { return frame[i : i+1] }
	}
	const forever = 1000 // bytes, at one a second
	for _, c := range []struct {
		name   string
		pieces func(i int) []byte
	}{
		{"parts and pongs", func(i int) []byte {
			if i == 0 {
				return part(2, "x")
			}
			return append(part(0, "x"), masked(10, "ws ping")...)
		}},
		{"a part, then pongs", func(i int) []byte {
			if i == 0 {
				return part(2, "x")
			}
			return masked(10, "ws ping")
		}},
		{"parts of nothing", func(i int) []byte { return part(byte(2*max(0, 1-i)), "") }},
		{"a frame byte by byte", bytewise(longFrame(0x82, forever, make([]byte, forever)))},
		{"a frame of which nothing more comes", func(i int) []byte {
			return longFrame(0x82, forever, nil)[:max(0, 14*(1-i))]
		}},
		{"a part of a header", func(i int) []byte { return []byte{0x82}[:max(0, 1-i)] }},
	} {
		for mode, more := range map[string][]string{"text": nil, "binary": {"binaryMode", "true"}, "calls": {"jsonRpc", "true"}} {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				inWorld(t, nil, func(t *testing.T, w *world) {
					conn, reader := w.rawWebSocket(w.url("/subws/", pair(alice, alicePublic), more...))
					start := time.Now()
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					go drip(ctx, conn, c.pieces)
					// Without this, a fault would wait for ever.
					defer time.AfterFunc(10*messageTimeout, func() { conn.Close() }).Stop()
					got, _ := io.ReadAll(reader)
					took := time.Since(start)
					if !bytes.Contains(got, []byte("\x88\x1c\x03\xf5")) {
						t.Errorf("no close frame with 1013: %q", got)
					}
					if took < messageTimeout || took > messageTimeout+maxInterval+closeTimeout+2*time.Second {
						t.Errorf("ended after %v", took)
					}
					if n := w.value("session_ends_total", "message_timeout"); n != 1 {
						t.Errorf("%v ends counted", n)
					}
					if n := w.edge.shared.Incoming.Held(); n != 0 {
						t.Errorf("%d bytes are still counted", n)
					}
				})
			})
		}
	}
}

// TestSlowMessagesThatEnd: each message has its own time. The time between messages does not count,
// nor does the time that the edge takes to handle one.
func TestSlowMessagesThatEnd(t *testing.T) {
	slow := commandsFunc(func(context.Context, []byte) ([]byte, error) {
		time.Sleep(commandTimeout - time.Second)
		return nil, nil
	})
	inWorld(t, func(c *settings) { c.Commands = slow }, func(t *testing.T, w *world) {
		conn, reader := w.rawWebSocket(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		go io.Copy(io.Discard, reader)
		const steps = 13
		for i := range 6 * steps {
			frame := part(0, "x")
			switch i % steps {
			case 0:
				frame = part(2, "x")
			case steps - 1: // the end of a message, and the beginning of the next one
				frame = append(masked(0, "x"), part(2, "x")...)
				if i == 6*steps-1 {
					frame = masked(0, "x")
				}
			}
			if i > 0 && i%steps == 0 {
				continue // it has begun with the end of the one before
			}
			if _, err := conn.Write(append(frame, masked(10, "ws ping")...)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		for range 60 {
			if _, err := conn.Write(masked(10, "ws ping")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if n := w.value("received_frames_total", ""); n != 6 {
			t.Errorf("%v messages", n)
		}
		if n := w.value("connections", "websocket"); n != 1 {
			t.Errorf("%v connections", n)
		}
	})
}

// TestHalvesOfMessagesAreBounded makes many clients send halves of messages. The bytes that are
// held for them are bounded, clients beyond the bound are asked to try again, and small messages of
// others are carried out.
func TestHalvesOfMessagesAreBounded(t *testing.T) {
	var done int
	count := commandsFunc(func(_ context.Context, batch []byte) ([]byte, error) {
		done += len(batch)
		return nil, nil
	})
	inWorld(t, func(c *settings) { c.Commands = count }, func(t *testing.T, w *world) {
		done = 0
		const most = 1 << 20
		w.edge.shared.Incoming = transport.BoundedIncoming(most)
		url := w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true")
		const clients, half = 60, 100 << 10
		refused := make(chan []byte, clients)
		var halves []net.Conn
		for range clients {
			conn, reader := w.rawWebSocket(url)
			halves = append(halves, conn)
			go func() {
				head := make([]byte, 4)
				io.ReadFull(reader, head)
				refused <- head
				io.Copy(io.Discard, reader)
			}()
			if _, err := conn.Write(longFrame(0x82, 1<<20, make([]byte, half))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if held := w.edge.shared.Incoming.Held(); held > most*3/4 {
				t.Fatalf("%d bytes are held", held)
			}
		}
		const fit = most * 3 / 4 / (2 * half) // a buffer is up to twice what it holds
		if n := len(refused); n < clients-2*fit-1 || n > clients-fit {
			t.Errorf("%d of %d refused", n, clients)
		}
		for range len(refused) {
			if head := <-refused; head[0] != 0x88 || head[2] != 0x03 || head[3] != 0xf5 {
				t.Errorf("refused with %x, want a close frame with 1013", head)
			}
		}
		healthy := w.dial(url)
		for _, size := range []int{1, firstBuffer, smallBuffer - 1, 100, smallBuffer - 1} {
			before := done
			if err := healthy.Write(t.Context(), websocket.MessageBinary, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if done != before+size {
				t.Errorf("a message of %d bytes beside them was not carried out", size)
			}
		}
		// Of the clients that have been closed by now.
		if w.value("session_ends_total", "message_no_room") == 0 {
			time.Sleep(closeTimeout + time.Second)
			if n := w.value("session_ends_total", "message_no_room"); n < clients-2*fit-1 {
				t.Errorf("%v ends counted", n)
			}
		}
		for _, conn := range halves {
			conn.Close()
		}
		synctest.Wait()
		if held := w.edge.shared.Incoming.Held(); held != 0 {
			t.Errorf("%d bytes are still counted", held)
		}
		before := done
		if err := healthy.Write(t.Context(), websocket.MessageBinary, make([]byte, half)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if done != before+half {
			t.Error("no room although all have gone")
		}
	})
}

// TestLargestMessageAlone: an edge with little memory accepts a message that is as large as its
// portal allows. One byte more is too much.
func TestLargestMessageAlone(t *testing.T) {
	var got int
	count := commandsFunc(func(_ context.Context, batch []byte) ([]byte, error) {
		got = len(batch)
		return nil, nil
	})
	inWorld(t, func(c *settings) { c.Commands, c.MaxMemory = count, 1<<20 }, func(t *testing.T, w *world) {
		w.edge.ceiling.full.Store(false)
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		w.say(conn, make([]byte, 1<<20))
		synctest.Wait()
		if got != 1<<20 {
			t.Errorf("%d bytes came", got)
		}
		w.say(conn, make([]byte, 1<<20+1))
		if code, _ := w.closed(conn); code != websocket.StatusMessageTooBig {
			t.Errorf("one byte more: closed with %d", code)
		}
	})
}
