package ops

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestMaxConnectionsLeavesDescriptors(t *testing.T) {
	most := MaxConnections(0)
	if most < 100 || most == math.MaxInt32 {
		t.Errorf("%d connections", most)
	}
	if got := MaxConnections(50); got != 50 {
		t.Errorf("%d, want what was asked for", got)
	}
	if got := MaxConnections(math.MaxInt32); got != most {
		t.Errorf("%d, want no more than there are: %d", got, most)
	}
}

func TestMaxMemory(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	if got := MaxMemory(0); got != 0 {
		t.Errorf("%d, want no limit", got)
	}
	if got := MaxMemory(1 << 40); got != 1<<40 || debug.SetMemoryLimit(-1) != 1<<40 {
		t.Errorf("%d, and the limit of the collector is %d", got, debug.SetMemoryLimit(-1))
	}
	if got := MaxMemory(1 << 41); got != 1<<40 {
		t.Errorf("%d, want what GOMEMLIMIT says if that is less", got)
	}
}
