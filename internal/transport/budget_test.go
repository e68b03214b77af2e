//go:build !race

// The race detector allocates and makes pools forget at random, so that budgets cannot be held
// under it.

package transport

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/wire"
)

// A message to one WebSocket is one write. It starts no goroutine and allocates nothing.
func TestUnicastNeedsNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a write that does not wait is not to be had here")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h, shared := newWorld(func(func()) { t.Error("a goroutine") })
	reader := &wire.Reader{Codec: wire.Text, Channels: []channel.ID{alice}}
	for _, codec := range []*wire.Codec{wire.Text, wire.Binary} {
		reader.Codec = codec
		c := NewWebSocket(shared, server, new(owner), reader, Resumed{}, attach(h, reader))
		c.Delivery.start()
		m := message(h.Head().Sequence, `{}`) // ids go on, or the session would drop them
		frame := m.Text(0)
		if codec == wire.Binary {
			frame = m.Binary()
		}
		got := make([]byte, len(frame.WebSocket()))
		if allocs := testing.AllocsPerRun(1000, func() {
			m.ID.Sequence++
			shared.Queue.Defer()
			h.Dispatch(m)
			shared.Queue.Resume()
			io.ReadFull(client, got) // which has been written by now
		}); allocs > 0 {
			t.Errorf("%s: a delivery allocates %v times", codec.Name, allocs)
		}
		if !bytes.Equal(got, frame.WebSocket()) {
			t.Errorf("%s: %q", codec.Name, got)
		}
		c.session.Detach()
		h.Resync(m.ID)
	}
}
