package server

import "testing"

// TestDivide: neither the connections that an edge holds nor all others can take the last
// descriptor.
func TestDivide(t *testing.T) {
	for _, c := range []struct{ most, wanted, held, unheld int }{
		{921, 0, 691, 230}, {921, 100, 100, 230}, {921, 5000, 691, 230}, {59_000, 0, 44_250, 14_750},
	} {
		if held, unheld := divide(c.most, c.wanted); held != c.held || unheld != c.unheld {
			t.Errorf("%d of %d: %d and %d, want %d and %d", c.wanted, c.most, held, unheld, c.held, c.unheld)
		}
	}
}
