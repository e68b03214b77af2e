package hub

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// logFunc is a Log of one function.
type logFunc func(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error)

func (f logFunc) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	answers := make([]proto.Answer, len(questions))
	for i, q := range questions {
		answers[i].Page, answers[i].Err = f(ctx, q.Channels, q.After)
	}
	return answers
}

// noLog fails the test that reads it.
func noLog(t testing.TB) logFunc {
	return func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
		t.Error("the log was read")
		return proto.Page{}, nil
	}
}

var (
	alice = testkit.Channel(1)
	bob   = testkit.Channel(2)
)

func id(sequence int) proto.ID { return proto.ID{Epoch: 1, Sequence: uint64(sequence)} }

func message(sequence int, receivers ...channel.ID) *proto.Message {
	return &proto.Message{ID: id(sequence), Receivers: receivers, TTL: time.Hour, Received: time.Now(), Body: []byte("{}")}
}

// sequences returns the sequences of the next batch.
func sequences(t *testing.T, s *Session) []uint64 {
	t.Helper()
	var got []uint64
	for _, m := range next(s).Messages {
		got = append(got, m.ID.Sequence)
	}
	return got
}

// next returns what Next returns, and waits while the log is read for it. Nothing else may wake s
// meanwhile.
func next(s *Session) Batch {
	wake, woken := s.wake, make(chan struct{}, 1)
	s.wake = func() { woken <- struct{}{} }
	defer func() { s.wake = wake }()
	for {
		batch := s.Next()
		s.mu.Lock()
		reading := s.reading != nil
		s.mu.Unlock()
		if !reading || batch.Nudged {
			return batch
		}
		<-woken
	}
}

func want(t *testing.T, got []uint64, want ...uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFreshSessionBeginsAtTheHead(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(id(7))
	s := h.Attach([]channel.ID{alice}, nil, func() {})
	if s.Cursor() != id(7) {
		t.Errorf("cursor %v, want the head", s.Cursor())
	}
	want(t, sequences(t, s))
	h.Dispatch(message(8, alice))
	want(t, sequences(t, s), 8)
}

// A session attached before the first resync begins at its head: it must not get the whole log.
func TestSessionBeforeFirstResyncIsPlacedByIt(t *testing.T) {
	h := New(noLog(t), Config{})
	if h.Ready() == nil {
		t.Error("ready before the first resync")
	}
	s := h.Attach([]channel.ID{alice}, nil, func() {})
	want(t, sequences(t, s))
	h.Resync(id(7))
	if s.Cursor() != id(7) {
		t.Errorf("cursor %v, want the head of the resync", s.Cursor())
	}
	h.Dispatch(message(8, alice))
	want(t, sequences(t, s), 8)
}

func TestMessageToTwoChannelsOfASessionComesOnce(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(proto.ID{})
	s := h.Attach([]channel.ID{alice, bob}, nil, func() {})
	h.Dispatch(message(1, bob, alice))
	h.Dispatch(message(2, alice))
	want(t, sequences(t, s), 1, 2)
}

func TestWakeComesOnceForARest(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(proto.ID{})
	wakes := 0
	s := h.Attach([]channel.ID{alice}, nil, func() { wakes++ })
	h.Dispatch(message(1, alice))
	if wakes != 0 {
		t.Error("woken before it rested")
	}
	want(t, sequences(t, s), 1)
	want(t, sequences(t, s))
	h.Dispatch(message(2, alice))
	h.Dispatch(message(3, alice))
	s.Nudge()
	if wakes != 1 {
		t.Errorf("woken %d times, want once", wakes)
	}
	want(t, sequences(t, s), 2, 3)
}

// A caller of Nudge leaves work for the caller of Next, which may just have checked for work. So a
// nudge between a batch and the rest after it must keep the session from resting: nothing would
// wake it later.
func TestNoRestWhileSomethingIsDue(t *testing.T) {
	for name, come := range map[string]func(h *Hub, s *Session){
		"a message": func(h *Hub, s *Session) { h.Dispatch(message(3, alice)) },
		"a resync":  func(h *Hub, s *Session) { h.Resync(id(2)) },
		"a nudge":   func(h *Hub, s *Session) { s.Nudge() },
	} {
		t.Run(name, func(t *testing.T) {
			h := New(noLog(t), Config{})
			h.Remember(1 << 20)
			h.Resync(id(1))
			wakes := 0
			s := h.Attach([]channel.ID{alice}, nil, func() { wakes++ })
			h.Dispatch(message(2, alice))
			if batch := s.Next(); len(batch.Messages) != 1 {
				t.Fatal(batch)
			}
			come(h, s)
			if s.Rest() || wakes != 0 {
				t.Errorf("it rests, or was woken while it did not: %d", wakes)
			}
			if batch := s.Next(); len(batch.Messages) == 1 != (name == "a message") || batch.Nudged != (name == "a nudge") {
				t.Error(batch)
			}
		})
	}
}

func TestNudgeIsNeverLost(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(proto.ID{})
	wakes := 0
	s := h.Attach([]channel.ID{alice}, nil, func() { wakes++ })
	s.Nudge() // it does not rest yet
	h.Dispatch(message(1, alice))
	if batch := s.Next(); len(batch.Messages) != 1 {
		t.Errorf("%+v, want the message first", batch)
	}
	if !s.Next().Nudged || wakes != 0 {
		t.Errorf("rests after a nudge that woke it %d times", wakes)
	}
	if s.Next().Nudged || wakes != 0 {
		t.Error("does not rest")
	}
	s.Nudge()
	if s.Nudge(); wakes != 1 {
		t.Errorf("woken %d times, want once", wakes)
	}
	if !s.Next().Nudged || s.Next().Nudged {
		t.Error("not one turn for two nudges")
	}
}

// An inbox is bounded in messages and in bytes. What does not fit is read from the log.
func TestFullInboxReadsTheLog(t *testing.T) {
	for _, config := range []Config{{InboxMessages: 2}, {InboxBytes: 5}} {
		var after proto.ID
		h := New(logFunc(func(_ context.Context, _ []channel.ID, cursor proto.ID) (proto.Page, error) {
			after = cursor
			messages := []*proto.Message{message(2, alice), message(3, alice), message(4, alice)}
			return proto.Page{Messages: messages, Through: id(4), Head: id(4)}, nil
		}), config)
		h.Resync(proto.ID{})
		s := h.Attach([]channel.ID{alice}, nil, func() {})
		h.Dispatch(message(1, alice))
		want(t, sequences(t, s), 1)
		for i := 2; i <= 4; i++ {
			h.Dispatch(message(i, alice))
		}
		want(t, sequences(t, s), 2, 3, 4)
		if after != id(1) {
			t.Errorf("the log was read after %v, want the cursor", after)
		}
		if h.Stats().Overflows.Load() != 1 {
			t.Errorf("%d overflows, want 1", h.Stats().Overflows.Load())
		}
	}
}

// A message that is larger than the inbox is delivered all the same.
func TestMessageLargerThanInbox(t *testing.T) {
	h := New(noLog(t), Config{InboxBytes: 1})
	h.Resync(proto.ID{})
	s := h.Attach([]channel.ID{alice}, nil, func() {})
	h.Dispatch(message(1, alice))
	want(t, sequences(t, s), 1)
}

// A cursor that the log has not reached is not trusted: else the client would get nothing until the
// log catches up.
func TestCursorAheadOfTheLog(t *testing.T) {
	h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
		return proto.Page{Messages: []*proto.Message{message(3, alice)}, Through: id(3), Head: id(3), Lost: id(100)}, nil
	}), Config{})
	h.Resync(id(3))
	cursor := id(100)
	s := h.Attach([]channel.ID{alice}, &cursor, func() {})
	if batch := next(s); batch.Gap == nil || len(batch.Messages) != 1 {
		t.Fatalf("got %v; want the one message and a gap", batch)
	}
	h.Dispatch(message(4, alice))
	want(t, sequences(t, s), 4)
	if h.Stats().Gaps.Load() != 1 {
		t.Errorf("%d gaps counted, want 1", h.Stats().Gaps.Load())
	}
}

// A page full of messages that have expired has an end, but no messages: the session must go on to
// the next page.
func TestEmptyPageMovesTheCursor(t *testing.T) {
	reads := 0
	h := New(logFunc(func(_ context.Context, _ []channel.ID, after proto.ID) (proto.Page, error) {
		reads++
		if after.IsZero() {
			return proto.Page{Through: id(10), More: true, Head: id(11)}, nil
		}
		return proto.Page{Messages: []*proto.Message{message(11, alice)}, Through: id(11), Head: id(11)}, nil
	}), Config{})
	h.Resync(id(11))
	s := h.Attach([]channel.ID{alice}, new(proto.ID), func() {})
	want(t, sequences(t, s), 11)
	if reads != 2 {
		t.Errorf("%d reads, want 2", reads)
	}
}

func TestTransientKeepsItsPlaceAndMovesNoCursor(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(id(1))
	s := h.Attach([]channel.ID{alice}, nil, func() {})
	typing := message(3, alice)
	typing.TTL = 0
	h.Dispatch(message(2, alice))
	h.Dispatch(typing)
	want(t, sequences(t, s), 2, 3)
	if s.Cursor() != id(2) {
		t.Errorf("cursor %v, want that of the stored message", s.Cursor())
	}
}

// A message that has expired in the inbox is not returned.
func TestExpiredWhileInTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(noLog(t), Config{})
		h.Resync(proto.ID{})
		s := h.Attach([]channel.ID{alice}, nil, func() {})
		short := message(1, alice)
		short.TTL = time.Second
		h.Dispatch(short)
		h.Dispatch(message(2, alice))
		time.Sleep(2 * time.Second)
		want(t, sequences(t, s), 2)
	})
}

// Reads of the log are paced, however many sessions wait.
func TestReadsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reading, most := 0, 0
		h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			reading++ // no lock: at most one at a time is the point
			most = max(most, reading)
			time.Sleep(time.Millisecond)
			reading--
			return proto.Page{}, nil
		}), Config{Pace: NewPace(1, 10)})
		h.Resync(proto.ID{})
		for range 50 {
			h.Attach([]channel.ID{alice}, new(proto.ID), func() {}).Next()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if most != 1 {
			t.Errorf("%d reads at a time, want 1", most)
		}
	})
}

func TestDetachForgetsTheSession(t *testing.T) {
	h := New(noLog(t), Config{})
	h.Resync(proto.ID{})
	var sessions []*Session
	for range 5 {
		sessions = append(sessions, h.Attach([]channel.ID{alice, bob}, nil, func() {}))
	}
	for i, remove := range []int{2, 0, 4, 1} { // the middle, the first, the last
		sessions[remove].Detach()
		h.Dispatch(message(10+i, bob))
		want(t, sequences(t, sessions[3]), uint64(10+i))
	}
	for _, gone := range []int{0, 1, 2, 4} {
		if got := sequences(t, sessions[gone]); slices.Contains(got, 13) {
			t.Errorf("session %d had a message after it had gone", gone)
		}
	}
	changes := h.TakeChanges()
	if len(changes) != 2 || changes[0].Sessions != 1 {
		t.Errorf("changes %v, want one session on each of two channels", changes)
	}
	sessions[3].Detach()
	if h.Channels() != 0 || len(h.TakeChanges()) != 2 || len(h.Presence()) != 0 {
		t.Error("something is left after the last session has gone")
	}
}

func BenchmarkDispatch(b *testing.B) {
	for _, bench := range []struct {
		name     string
		sessions int
	}{{"1", 1}, {"100", 100}, {"1000", 1000}} {
		b.Run(bench.name, func(b *testing.B) {
			h := New(noLog(b), Config{})
			h.Resync(proto.ID{})
			var sessions []*Session
			for range bench.sessions {
				sessions = append(sessions, h.Attach([]channel.ID{alice}, nil, func() {}))
			}
			m := message(0, alice)
			b.ReportAllocs()
			for b.Loop() {
				m.ID.Sequence++
				h.Dispatch(m)
				// Drain, so that the work is charged to the run that caused it.
				for _, s := range sessions {
					s.Next()
					s.Next()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bench.sessions), "ns/delivery")
		})
	}
}

func BenchmarkAttachDetach(b *testing.B) {
	h := New(noLog(b), Config{})
	h.Resync(proto.ID{})
	for range 1000 {
		h.Attach([]channel.ID{alice}, nil, func() {})
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Attach([]channel.ID{alice, bob}, nil, func() {}).Detach()
	}
}
