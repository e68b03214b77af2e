//go:build !race

package store_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestMiniredis: the Redis of pushgate dev keeps the promises of a log as well. Its interpreter of
// scripts is so slow with the race detector that this runs without it; TestRedis runs with it.
func TestMiniredis(t *testing.T) {
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		mini := miniredis.RunT(t)
		now := time.Now()
		mini.SetTime(now)
		s := subject(t, mini.Addr(), cfg)
		s.Flush = mini.FlushAll
		s.Now = func() time.Time { return now }
		s.Advance = func(d time.Duration) {
			now = now.Add(d)
			mini.SetTime(now)
			mini.FastForward(d)
		}
		return s
	})
}
