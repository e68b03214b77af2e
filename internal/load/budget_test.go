//go:build linux && !race

// The race detector allocates, so that budgets cannot be held under it.

package load

import (
	"testing"

	"pushgate/internal/load/loop"
)

// newLiveSubscriber gives a subscriber without a connection, and frames of a server with n messages for it.
func newLiveSubscriber(tb testing.TB, n int) (s *subscriber, frames []byte) {
	tb.Helper()
	l, err := loop.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	r := &run{loop: l, report: newReport(&Options{})}
	s = &subscriber{run: r, form: Text, transport: WebSocket, phase: live}
	s.watch(&stream{number: 1, posted: 1 << 30})
	body := newBody(256)
	for i := range n {
		mark{1, uint32(i + 1), 0}.put(body[bodyMark:])
		frames = append(frames, 0x81, 126, 1, 0)
		frames = append(frames, body...)
	}
	return s, frames
}

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

// BenchmarkDelivery is all that this tool does for a message, but for the system call that brings it.
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
