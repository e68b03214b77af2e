package proto

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

var benchBody = []byte(`{"module_id":"im","command":"message","params":{"text":"` + strings.Repeat("x", 180) + `"},"extra":{}}`)

// BenchmarkForms is what a message costs to write in each wire form: the first time, which is once for a receiver or for all, and then for each
// reader.
func BenchmarkForms(b *testing.B) {
	receivers := []channel.ID{testkit.Channel(1)}
	created := time.Unix(1795226210, 759e6)
	events := make([]byte, 0, 1024)
	for _, form := range []struct {
		name string
		size func(m *Message) int
	}{
		{"text", func(m *Message) int { return len(m.Text(0).WebSocket()) }},
		{"binary", func(m *Message) int { return len(m.Binary().WebSocket()) }},
		{"rpc", func(m *Message) int { return len(m.RPC(0).WebSocket()) }},
		{"json", func(m *Message) int { return len(m.JSON(0).WebSocket()) }},
		{"sse", func(m *Message) int { return len(m.AppendSSE(events, 0)) }},
	} {
		for _, first := range []bool{true, false} {
			name := form.name + "/again"
			if first {
				name = form.name + "/first"
			}
			b.Run(name, func(b *testing.B) {
				m := &Message{Receivers: receivers, Body: benchBody, Created: created}
				b.ReportAllocs()
				for b.Loop() {
					if first {
						m = &Message{Receivers: receivers, Body: benchBody, Created: created}
					}
					if form.size(m) == 0 {
						b.Fatal("empty")
					}
				}
			})
		}
	}
}

// BenchmarkNewFrame is the header of a frame and the copy of its payload.
func BenchmarkNewFrame(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if len(NewFrame(OpText, benchBody).WebSocket()) == 0 {
			b.Fatal("empty")
		}
	}
}

func BenchmarkCheckBody(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, typ, err := CheckBody(benchBody); err != nil || typ != "im_message" {
			b.Fatal(typ, err)
		}
	}
}
