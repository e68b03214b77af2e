//go:build linux && !race

// The race detector makes pools forget at random, so that budgets cannot be held under it.

package netpoll

import (
	"io"
	"testing"

	"pushgate/internal/testkit"
)

func TestTryWriteAllocatesNothing(t *testing.T) {
	server, client := testkit.Pair(t, "tcp")
	c := New(nil).Hold(server)
	defer c.Close()
	frame := make([]byte, 400)
	got := testing.AllocsPerRun(100, func() {
		if c.TryWrite(frame) != nil {
			t.Fatal("does not fit")
		}
		io.ReadFull(client, frame)
	})
	if got != 0 {
		t.Errorf("a write allocates %v times", got)
	}
}
