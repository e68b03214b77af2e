package frame

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

// BenchmarkRead measures one frame of a client, from its bytes to the unmasked payload.
func BenchmarkRead(b *testing.B) {
	for _, bench := range []struct {
		name string
		sent []byte
	}{
		{"pong", masked(final|OpPong, nil)},
		{"256 B", masked(final|OpText, make([]byte, 256))},
		{"16 KiB", masked(final|OpBinary, make([]byte, 16<<10))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			source := bytes.NewReader(nil)
			buffered := bufio.NewReaderSize(source, 512)
			r := NewReader(buffered, func(byte, []byte) error { return nil })
			p := make([]byte, 16<<10)
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.sent)))
			for b.Loop() {
				source.Reset(bench.sent)
				buffered.Reset(source)
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
				for r.Within() {
					if _, err := r.Read(p); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
