//go:build !race

// The race detector allocates and makes pools forget at random, so that budgets cannot be held
// under it.

package transport

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
	"pushgate/internal/wire"
)

// A message to one WebSocket is one write. It starts no goroutine and allocates nothing.
func TestUnicastNeedsNoGoroutine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a write that does not wait is not to be had here")
	}
	server, client := testkit.Pair(t, "tcp")
	h, shared := newWorld(func(func()) { t.Error("a goroutine") })
	reader := &wire.Reader{Codec: wire.Text, Channels: []channel.ID{alice}}
	for _, codec := range []*wire.Codec{wire.Text, wire.Binary} {
		reader.Codec = codec
		c := NewWebSocket(shared, server, new(owner), reader, Resumed{}, attach(h, reader))
		c.Delivery.start()
		m := message(h.Head().Sequence, `{}`) // ids go on, or the session would drop them
		frame := wire.TextFrame(m, 0)
		if codec == wire.Binary {
			frame = wire.BinaryFrame(m)
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
