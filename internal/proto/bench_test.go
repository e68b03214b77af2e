package proto

import (
	"strings"
	"testing"
)

var benchBody = []byte(`{"module_id":"im","command":"message","params":{"text":"` + strings.Repeat("x", 180) + `"},"extra":{}}`)

func BenchmarkCheckBody(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, typ, err := CheckBody(benchBody); err != nil || typ != "im_message" {
			b.Fatal(typ, err)
		}
	}
}
