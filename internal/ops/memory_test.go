package ops

import (
	"runtime/debug"
	"testing"
)

func TestCollectAtGivesWayToTheOperator(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "")
	if got := CollectAt(50); got != 50 {
		t.Errorf("%d", got)
	}
	t.Setenv("GOGC", "77")
	if got := CollectAt(25); got != 50 { // what the runtime made of GOGC; here of the call before
		t.Errorf("%d", got)
	}
	if now := debug.SetGCPercent(100); now != 50 {
		t.Errorf("%d holds", now)
	}
}
