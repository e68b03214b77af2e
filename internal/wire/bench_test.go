package wire

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// BenchmarkForms measures each form of a message: encoded the first time, and then from the cache,
// as for every further reader.
func BenchmarkForms(b *testing.B) {
	receivers := []channel.ID{testkit.Channel(1)}
	created := time.Unix(1795226210, 759e6)
	body := []byte(`{"module_id":"im","command":"message","params":{"text":"` + strings.Repeat("x", 180) + `"},"extra":{}}`)
	events := make([]byte, 0, 1024)
	for _, form := range []struct {
		name string
		size func(m *proto.Message) int
	}{
		{"text", func(m *proto.Message) int { return len(TextFrame(m, 0).WebSocket()) }},
		{"binary", func(m *proto.Message) int { return len(BinaryFrame(m).WebSocket()) }},
		{"rpc", func(m *proto.Message) int { return len(RPCFrame(m, 0).WebSocket()) }},
		{"json", func(m *proto.Message) int { return len(JSONFrame(m, 0).WebSocket()) }},
		{"sse", func(m *proto.Message) int { return len(appendEvent(events, m, JSONFrame(m, 0))) }},
	} {
		for _, first := range []bool{true, false} {
			name := form.name + "/again"
			if first {
				name = form.name + "/first"
			}
			b.Run(name, func(b *testing.B) {
				m := &proto.Message{Receivers: receivers, Body: body, Created: created}
				b.ReportAllocs()
				for b.Loop() {
					if first {
						m = &proto.Message{Receivers: receivers, Body: body, Created: created}
					}
					if form.size(m) == 0 {
						b.Fatal("empty")
					}
				}
			})
		}
	}
}
