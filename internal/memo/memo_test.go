package memo

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestOneAnswerForAll: those who ask at a time get one answer, which is made anew when it is too
// old; who hangs up spoils it for nobody.
func TestOneAnswerForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		m := New(1, time.Second, time.Minute, func(ctx context.Context, _ string) int {
			made++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				t.Error("ended early")
			}
			return made
		})
		for round := range 3 {
			ctx, hangUp := context.WithCancel(t.Context())
			go func() {
				if _, err := m.Get(ctx, "a"); err == nil {
					t.Error("an answer after hanging up")
				}
			}()
			synctest.Wait()
			hangUp()
			var asking sync.WaitGroup
			for range 10 {
				asking.Go(func() {
					if n, err := m.Get(t.Context(), "a"); n != round+1 || err != nil {
						t.Errorf("answer %d, %v in round %d", n, err, round)
					}
				})
			}
			asking.Wait()
			time.Sleep(999 * time.Millisecond)
			if n, err := m.Get(t.Context(), "a"); n != round+1 || err != nil {
				t.Errorf("answer %d, %v while it is new", n, err)
			}
			if _, err := m.Get(t.Context(), "b"); err != ErrFull {
				t.Errorf("a second question: %v", err)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if len(m.answers) != 0 {
			t.Error("an old answer is kept")
		}
	})
}
