package wait_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/wait"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		wait.For(t.Context(), time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited for %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		wait.For(ctx, time.Hour)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited for %v, a second of it with a context", took)
		}
	})
}
