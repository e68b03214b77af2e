package wire

import (
	"bytes"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// TestCachedFramesAreBounded: a message keeps its frames as long as it is kept itself, so those for
// its receivers must not take many times the memory that is counted for it.
func TestCachedFramesAreBounded(t *testing.T) {
	for _, size := range []int{100, 50_000} {
		m := &proto.Message{Body: bytes.Repeat([]byte("1"), size), Created: time.Now(), Receivers: make([]channel.ID, 100)}
		for i := range m.Receivers {
			m.Receivers[i] = testkit.Channel(byte(i))
		}
		kept := 0
		for via := range m.Receivers {
			for _, frame := range []func(*proto.Message, int) *Frame{TextFrame, JSONFrame} {
				f := frame(m, via)
				again := frame(m, via)
				if !bytes.Equal(f.WebSocket(), again.WebSocket()) {
					t.Fatal("another frame the second time")
				}
				if f == again {
					kept += cap(f.bytes)
				} else if via < 2 {
					t.Errorf("%d bytes: the frame of receiver %d is made anew for each reader", size, via)
				}
			}
		}
		if most := 4*(size+1000) + 64*len(m.Receivers); kept > most {
			t.Errorf("%d bytes: frames of %d bytes are kept, more than %d", size, kept, most)
		}
	}
}
