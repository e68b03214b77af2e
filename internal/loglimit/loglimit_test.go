package loglimit

import (
	"testing"
	"time"
)

// TestCount: the first time is a line at once, and the next line says how many it stands for.
func TestCount(t *testing.T) {
	for interval, l := range map[time.Duration]*Limiter{usual: {}, time.Minute: {Interval: time.Minute}} {
		start := time.Now()
		for i, c := range []struct {
			after time.Duration
			times int
			due   bool
		}{{0, 1, true}, {time.Second, 0, false}, {interval - 1, 0, false}, {interval, 3, true}, {interval + 1, 0, false}, {3 * interval, 2, true}} {
			if times, due := l.Count(start.Add(c.after)); times != c.times || due != c.due {
				t.Errorf("%v, call %d: %d, %v", interval, i, times, due)
			}
		}
	}
}
