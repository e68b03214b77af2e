package wire

import (
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

var alice = testkit.Channel(1)

// A message that cannot be encoded is skipped. Else it would end the connections of its readers,
// each time they come back.
func TestPanicOverOneMessage(t *testing.T) {
	var recovered []string
	pool := Pool{Panics: func(where string, _ any, _ []byte) { recovered = append(recovered, where) }}
	poison := &proto.Message{Body: []byte("poison")}
	codec := &Codec{frame: func(m *proto.Message, r *Reader) *Frame {
		if m == poison {
			panic("fault")
		}
		return Text.frame(m, r)
	}}
	good := func() *proto.Message { return &proto.Message{Receivers: []channel.ID{alice}, Body: []byte("{}")} }
	for _, batch := range [][]*proto.Message{{poison, good()}, {good(), poison}, {good(), poison, good()}, {poison}} {
		e := pool.Encoder()
		r := &Reader{Codec: codec, Channels: []channel.ID{alice}}
		out, rest := e.Encode(r, batch, PacketBytes)
		if out.Messages != len(batch)-1 || len(rest) != 0 {
			t.Errorf("%d messages of %d, and %d left", out.Messages, len(batch), len(rest))
		}
		pool.Release(out)
		e.Release()
	}
	if len(recovered) != 4 || recovered[0] != "encode" {
		t.Errorf("recovered at %q", recovered)
	}
}
