package transport

import (
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/tracing"
	"pushgate/internal/wire"
)

// TestTracingCostsNothing: a delivery allocates nothing for traces if tracing is off, nor if
// it is on and no message is sampled.
func TestTracingCostsNothing(t *testing.T) {
	var pool wire.Pool
	e := pool.Encoder()
	for name, tracer := range map[string]*tracing.Tracer{"off": nil, "on": new(tracing.Tracer)} {
		d := &Delivery{shared: &Shared{Tracer: tracer}}
		ids := []channel.ID{testkit.Channel(1)}
		batch := []*proto.Message{{Receivers: ids, Body: []byte("{}")}, {Receivers: ids, Body: []byte("{}")}}
		e.Encode(&wire.Reader{Codec: wire.JSON, Channels: ids}, batch, wholeBatch)
		if n := len(e.Messages()); n != 2 {
			t.Fatalf("%d messages in the packet", n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if d.traced(e) != nil {
				t.Error("a message is taken for a sampled one")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		batch[1].Trace = new(proto.Trace)
		if got := d.traced(e); (len(got) == 1 && got[0] == batch[1]) != (tracer != nil) {
			t.Errorf("%s: %d sampled messages", name, len(got))
		}
	}
}

// BenchmarkTracedOff is what tracing adds to a delivery where it is off.
func BenchmarkTracedOff(b *testing.B) {
	var pool wire.Pool
	d, e := &Delivery{shared: new(Shared)}, pool.Encoder()
	for b.Loop() {
		if d.traced(e) != nil {
			b.Fatal("traced")
		}
	}
}
