package testkit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a test that records its failure, and continues.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			after time.Duration
			said  string
		}{{0, ""}, {time.Second, ""}, {Patience - time.Second, ""}, {2 * Patience, "not within 1m0s: the end"}} {
			f, began, calls := &failing{TB: t}, time.Now(), 0
			Eventually(f, "the end", func() bool { calls++; return time.Since(began) >= c.after })
			if f.said != c.said {
				t.Errorf("what takes %v: %q, want %q", c.after, f.said, c.said)
			}
			if took := time.Since(began); took > min(c.after, Patience)+20*time.Millisecond || calls > 1+int(took/time.Millisecond) {
				t.Errorf("what takes %v: %d calls in %v", c.after, calls, took)
			}
		}
	})
}
