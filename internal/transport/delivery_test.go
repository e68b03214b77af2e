package transport

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

// A batch of several packets that cannot be written at once continues where it stopped.
func TestTurnThatStopsWithinABatch(t *testing.T) {
	var running sync.WaitGroup
	h, shared := newWorld(running.Go)
	server, client := net.Pipe()
	reader := &wire.Reader{Codec: wire.Text, Channels: []channel.ID{alice}}
	c := NewWebSocket(shared, server, new(owner), reader, Resumed{}, attach(h, reader))
	var want strings.Builder
	for i := range 20 {
		m := message(uint64(i+1), `"`+strings.Repeat("x", 10_000)+`"`)
		want.Write(wire.TextFrame(m, 0).Payload())
		h.Dispatch(m)
	}
	if again, ok := c.run(shared.Queue.pool.Encoder()); again || !ok {
		t.Error("another turn, while a write waits")
	}
	frames := websocketReader{bufio.NewReader(client)}
	var got strings.Builder
	for got.Len() < want.Len() {
		got.Write(frames.frame(t))
	}
	if got.String() != want.String() {
		t.Error("something else was written")
	}
	c.net.Close()
	client.Close()
	running.Wait()
}

// websocketReader reads the frames of a server.
type websocketReader struct{ *bufio.Reader }

func (r websocketReader) frame(t *testing.T) []byte {
	var head [4]byte // of a payload that takes two bytes to count, or eight
	io.ReadFull(r, head[:])
	size := int(head[2])<<8 | int(head[3])
	if head[1] == 127 {
		var rest [6]byte
		io.ReadFull(r, rest[:])
		size = int(rest[3])<<16 | int(rest[4])<<8 | int(rest[5])
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestStreamHeadOfNoPlace: an edge that does not know the head of the log yet does not send the
// zero id.
func TestStreamHeadOfNoPlace(t *testing.T) {
	if head := string(streamHead(proto.ID{}, false)); strings.Contains(head, "id:") {
		t.Errorf("head %q", head)
	}
}
