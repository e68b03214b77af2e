package storetest_test

import (
	"testing"
	"time"

	"pushgate/internal/leaktest"
	"pushgate/internal/store"
	"pushgate/internal/store/storetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		m := storetest.NewMemory(cfg)
		var ahead time.Duration
		return storetest.Subject{Log: m, Stats: m, Flush: m.Flush, Cut: m.Cut,
			Now:     func() time.Time { return time.Now().Add(ahead) },
			Advance: func(d time.Duration) { ahead += d; m.Advance(d) }}
	})
}
