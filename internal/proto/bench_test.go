package proto

import (
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
)

var benchBody = []byte(`{"module_id":"im","command":"message","params":{"text":"` + strings.Repeat("x", 180) + `"},"extra":{}}`)

func BenchmarkText(b *testing.B) {
	receivers := []channel.ID{channel.FromBytes([16]byte{1})}
	created := time.Unix(1795226210, 759e6)
	for _, bench := range []struct {
		name  string
		fresh bool
	}{{"first", true}, {"cached", false}} {
		b.Run(bench.name, func(b *testing.B) {
			m := &Message{Receivers: receivers, Body: benchBody, Created: created}
			b.ReportAllocs()
			for b.Loop() {
				if bench.fresh {
					m = &Message{Receivers: receivers, Body: benchBody, Created: created}
				}
				if len(m.Text(0).WebSocket()) == 0 {
					b.Fatal("empty")
				}
			}
		})
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
