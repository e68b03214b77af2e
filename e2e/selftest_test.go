package e2e

import "testing"

// TestSelfTest is the portal's own check of its push server.
func TestSelfTest(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	for range 3 {
		SelfTest(t, w)
	}
}
