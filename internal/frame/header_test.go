package frame_test

import (
	"bytes"
	"testing"

	"pushgate/internal/frame"
)

// TestAppend tests the sizes at which the encoding of the length changes (RFC 6455, 5.2).
func TestAppend(t *testing.T) {
	for _, c := range []struct {
		size   int
		opcode byte
		want   []byte
	}{
		{0, frame.OpText, []byte{0x81, 0}},
		{1, frame.OpBinary, []byte{0x82, 1}},
		{125, frame.OpText, []byte{0x81, 125}},
		{126, frame.OpText, []byte{0x81, 126, 0, 126}},
		{65535, frame.OpBinary, []byte{0x82, 126, 0xff, 0xff}},
		{65536, frame.OpText, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		payload := bytes.Repeat([]byte("p"), c.size)
		if got := frame.Append([]byte("x"), c.opcode, payload); !bytes.Equal(got, append(append([]byte("x"), c.want...), payload...)) {
			t.Errorf("frame of %d bytes begins with %x, want %x", c.size, got[1:min(len(got), 12)], c.want)
		}
	}
}
