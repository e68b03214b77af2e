package testkit

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what should take milliseconds: the machine may be busy.
const Patience = time.Minute

// Wait calls ok again and again until it returns true, and reports whether it did so within
// [Patience].
func Wait(ok func() bool) bool { return WaitFor(Patience, ok) }

// WaitFor is [Wait] with a limit of d instead of [Patience].
func WaitFor(d time.Duration, ok func() bool) bool {
	pause := time.Millisecond
	for deadline := time.Now().Add(d); !ok(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// Eventually is [Wait] for what must happen. If it does not, the test fails and ends there. It must
// be called by the test's own goroutine.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Wait(ok) {
		t.Fatalf("not within %v: %s", Patience, what)
	}
}
