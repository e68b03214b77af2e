package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store"
)

// TestSentOfATracedMessage: a message that waits in the queue says when its round trip began, so
// that a trace can tell the queue from Redis.
func TestSentOfATracedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t, store.Config{})
		background(t.Context(), l, "first")
		m := msg(time.Hour, "traced", ch(1))
		m.Trace = &proto.Trace{ID: [16]byte{1}, Span: [8]byte{1}}
		go func() { _, _ = l.Append(t.Context(), m) }()
		wantCalls(t, s, "first")
		time.Sleep(50 * time.Millisecond)
		if sent := m.Trace.Sent.Load(); sent != 0 {
			t.Errorf("sent at %d while it waits", sent)
		}
		began := time.Now()
		s.answer <- nil
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		s.answer <- nil
		synctest.Wait()
		if sent := m.Trace.Sent.Load(); sent != began.UnixNano() {
			t.Errorf("sent at %d, want %d", sent, began.UnixNano())
		}
	})
}
