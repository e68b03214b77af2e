//go:build linux && !race

// The race detector allocates, so that budgets cannot be held under it.

package load

import "testing"

func TestDeliveryAllocatesNothing(t *testing.T) {
	s, frames := newLiveSubscriber(t, 100)
	if got := testing.AllocsPerRun(100, func() {
		s.cursors[0].last = 0
		if used := s.Data(nil, frames); used != len(frames) {
			t.Fatalf("used %d of %d", used, len(frames))
		}
	}); got != 0 {
		t.Errorf("100 deliveries allocate %v times", got)
	}
	if s.run.report.FaultCount+s.run.report.Stray+s.run.report.Doubled != 0 || s.run.delivered < 1000 {
		t.Errorf("%+v", s.run.report)
	}
}

// BenchmarkDelivery measures everything that this tool does for a message, except the system call
// that reads it.
func BenchmarkDelivery(b *testing.B) {
	const n = 100
	s, frames := newLiveSubscriber(b, n)
	b.ReportAllocs()
	for b.Loop() {
		s.cursors[0].last = 0
		s.Data(nil, frames)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
}
