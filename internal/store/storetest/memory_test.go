package storetest_test

import (
	"testing"

	"pushgate/internal/leaktest"
	"pushgate/internal/store"
	"pushgate/internal/store/storetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		m := storetest.NewMemory(cfg)
		return storetest.Subject{Log: m, Stats: m, Advance: m.Advance, Flush: m.Flush, Cut: m.Cut}
	})
}
