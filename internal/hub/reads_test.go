package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// tripTime is how long a round trip to a slowLog takes.
const tripTime = 100 * time.Millisecond

// slowLog answers each round trip after tripTime with a message of the cursor's next id, and
// records the questions.
type slowLog struct {
	mu    sync.Mutex
	asked [][]proto.Question
	most  int // concurrent round trips
	now   int
}

func (l *slowLog) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	l.mu.Lock()
	l.asked = append(l.asked, questions)
	l.now++
	l.most = max(l.most, l.now)
	l.mu.Unlock()
	time.Sleep(tripTime)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
	answers := make([]proto.Answer, len(questions))
	for i, q := range questions {
		next := proto.ID{Epoch: 1, Sequence: q.After.Sequence + 1}
		answers[i].Page = proto.Page{Through: next, Head: id(1000), Messages: []*proto.Message{{ID: next, Receivers: q.Channels, TTL: time.Hour, Received: time.Now()}}}
	}
	return answers
}

func (l *slowLog) questions() (n int) {
	for _, some := range l.asked {
		n += len(some)
	}
	return n
}

// returns attaches a session with a cursor and calls check with what it gets.
func returns(h *Hub, after int, check func(Batch), channels ...channel.ID) {
	cursor := id(after)
	s := h.Attach(channels, &cursor, func() {})
	go func() {
		defer s.Detach()
		check(next(s))
	}()
}

// However many sessions return at once, the number of concurrent round trips and of questions in
// each is bounded.
func TestReadsTravelTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(slowLog)
		h := New(log, Config{Pace: NewPace(2, 10)})
		h.Resync(id(1000))
		var got atomic.Int32
		for n := range 102 {
			returns(h, n, func(batch Batch) {
				if len(batch.Messages) != 1 || batch.Messages[0].ID != id(n+1) || batch.Messages[0].Receivers[0] != alice {
					t.Errorf("after %d: %v", n, batch.Messages)
				}
				got.Add(1)
			}, alice)
			if n < 2 {
				synctest.Wait() // the first two do not wait for others
			}
		}
		start := time.Now()
		for range 60 {
			time.Sleep(tripTime / 10)
			synctest.Wait()
			if got.Load() == 102 {
				break
			}
		}
		if took := time.Since(start); got.Load() != 102 || took > 6*tripTime || log.most != 2 || len(log.asked) != 12 {
			t.Errorf("%d of 102 after %v, %d trips at a time, %d in all", got.Load(), took, log.most, len(log.asked))
		}
		if n := h.Stats().Trips.Load(); n != 12 {
			t.Errorf("%d trips counted", n)
		}
	})
}

// Hubs that share a pace keep to it together.
func TestHubsShareAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, pace := new(slowLog), NewPace(1, 10)
		for range 5 {
			h := New(log, Config{Pace: pace})
			h.Resync(id(1000))
			returns(h, 1, func(Batch) {}, alice)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if log.most != 1 || log.questions() != 5 {
			t.Errorf("%d trips at a time, %d questions", log.most, log.questions())
		}
	})
}

// Sessions that ask the same while the question is queued share the answer. Once it has been sent,
// its snapshot may be too old for a new session.
func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(slowLog)
		h := New(log, Config{Pace: NewPace(1, 10)})
		h.Resync(id(1000))
		var got atomic.Int32
		for n := range 50 {
			if n == 1 {
				synctest.Wait() // the first is on its way
			}
			returns(h, 5, func(batch Batch) {
				if len(batch.Messages) != 1 {
					t.Error(batch)
				}
				got.Add(1)
			}, alice, bob)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got.Load() != 50 || log.questions() != 2 {
			t.Errorf("%d sessions had it by %d questions, want 50 by 2", got.Load(), log.questions())
		}
	})
}

// A session rests while the log is read, even if messages come meanwhile. It is woken when there is
// a page, or when it is nudged.
func TestSessionRestsWhileTheLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(new(slowLog), Config{})
		h.Resync(id(1000))
		var wakes atomic.Int32
		s := h.Attach([]channel.ID{alice}, new(id(5)), func() { wakes.Add(1) })
		step := func(what string, woken int32, nudged bool, sequences ...uint64) {
			t.Helper()
			synctest.Wait()
			if n := wakes.Swap(0); n != woken {
				t.Errorf("%s: woken %d times, want %d", what, n, woken)
			}
			batch := s.Next()
			if batch.Nudged != nudged {
				t.Errorf("%s: nudged is %v", what, batch.Nudged)
			}
			if batch.Nudged {
				batch = s.Next()
			}
			var got []uint64
			for _, m := range batch.Messages {
				got = append(got, m.ID.Sequence)
			}
			if !slices.Equal(got, sequences) {
				t.Errorf("%s: given %v, want %v", what, got, sequences)
			}
		}
		step("attached", 0, false)
		h.Dispatch(message(1001, alice))
		synctest.Wait()
		if n := wakes.Load(); n != 0 {
			t.Error("woken by a message that has to wait for the page")
		}
		if _, ok := s.Claim(); ok {
			t.Error("handed over with an id that is after the page")
		}
		s.Nudge()
		step("nudged", 1, true)
		time.Sleep(time.Second)
		step("read", 1, false, 6, 1001)
		step("at rest", 0, false)
		s.Nudge()
		step("nudged again", 1, true)
		s.Detach()
	})
}

// A failed read of the log is retried, with growing pauses, for as long as the session is attached.
func TestReadingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		var pages atomic.Int32
		h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			if !back.Load() {
				return proto.Page{}, errors.New("away")
			}
			pages.Add(1)
			return proto.Page{Messages: stored(1), Through: id(1), Head: id(1)}, nil
		}), Config{})
		h.Resync(id(1))
		wakes := make(chan struct{}, 1)
		stays := h.Attach([]channel.ID{alice}, new(proto.ID), func() { wakes <- struct{}{} })
		goes := h.Attach([]channel.ID{bob}, new(proto.ID), func() { t.Error("woken, and nothing can be read") })
		for _, s := range []*Session{stays, goes} {
			if batch := s.Next(); len(batch.Messages) > 0 || batch.Nudged {
				t.Error(batch)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries := h.Stats().ReplayErrors.Load(); tries < 40 || tries > 160 {
			t.Errorf("%d tries of two sessions in a minute, want growing pauses of at most two seconds or so", tries)
		}
		goes.Detach()
		back.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		select {
		case <-wakes:
		default:
			t.Error("not woken though there is a page")
		}
		if batch := stays.Next(); len(batch.Messages) != 1 {
			t.Error(batch)
		}
		if n := pages.Load(); n != 1 {
			t.Errorf("%d pages, want that of the one who stayed", n)
		}
	})
}

// A detached session's question is not sent, unless it has been sent already.
func TestReadingEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(slowLog)
		h := New(log, Config{Pace: NewPace(1, 10)})
		h.Resync(id(1000))
		sessions := make([]*Session, 6)
		for n := range sessions {
			cursor := id(n / 2) // two ask the same
			sessions[n] = h.Attach([]channel.ID{alice}, &cursor, func() {
				if n != 5 {
					t.Errorf("session %d has gone, and is woken", n)
				}
			})
			sessions[n].Next()
			synctest.Wait()
		}
		for _, s := range sessions[:5] {
			s.Detach()
		}
		h.reads.mu.Lock()
		if len(h.reads.queue) != 1 || len(h.reads.open) != 1 {
			t.Errorf("%d queued, %d open, want that of the session that stays", len(h.reads.queue), len(h.reads.open))
		}
		h.reads.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if batch := sessions[5].Next(); len(batch.Messages) != 1 {
			t.Error(batch)
		}
		// The first question, which had been sent, and that of the session that stays.
		if n := log.questions(); n != 2 || len(h.reads.queue) != 0 || len(h.reads.open) != 0 || h.reads.working != 0 || len(h.pace.trips) != 0 {
			t.Errorf("%d questions, %d queued, %d open, %d workers, %d trips under way", n, len(h.reads.queue), len(h.reads.open), h.reads.working, len(h.pace.trips))
		}
	})
}

// One question may fail alone: the others get their answers.
func TestFailureIsOfOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(logFunc(func(_ context.Context, channels []channel.ID, _ proto.ID) (proto.Page, error) {
			time.Sleep(time.Millisecond)
			if channels[0] == bob {
				return proto.Page{}, errors.New("a key of another kind")
			}
			return proto.Page{Messages: stored(1), Through: id(1), Head: id(1)}, nil
		}), Config{Pace: NewPace(1, 10)})
		h.Resync(id(1))
		var got atomic.Int32
		for i := range 9 {
			id := []channel.ID{bob, alice, testkit.Channel(9)}[i%3]
			s := h.Attach([]channel.ID{id}, new(proto.ID), func() {
				if got.Add(1); id == bob {
					t.Error("woken without an answer")
				}
			})
			defer s.Detach() // or the log is asked for ever
			s.Next()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got.Load() != 6 {
			t.Errorf("%d had an answer, want 6", got.Load())
		}
	})
}

// Close waits for the goroutines that read the log. Nothing is read after it.
func TestCloseWaitsForReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		reads := 0
		h := New(logFunc(func(ctx context.Context, _ []channel.ID, _ proto.ID) (proto.Page, error) {
			reads++
			<-ctx.Done()
			time.Sleep(time.Second) // as long as Redis takes to notice
			ended.Store(true)
			return proto.Page{}, ctx.Err()
		}), Config{Pace: NewPace(1, 1)})
		h.Resync(id(1000))
		for n := range 3 {
			s := h.Attach([]channel.ID{alice}, new(id(n)), func() { t.Error("woken by a hub that is closed") })
			defer s.Detach()
			s.Next()
			synctest.Wait()
		}
		h.Close()
		if !ended.Load() {
			t.Error("closed while the log was read")
		}
		late := h.Attach([]channel.ID{alice}, new(id(7)), func() {})
		late.Next()
		late.Detach()
		time.Sleep(time.Minute)
		if reads != 1 {
			t.Errorf("%d reads, want none but that which was under way", reads)
		}
	})
}

// Portals whose logs hang (a dead node) must not hold the slots of those whose logs answer.
func TestHungPortalsDoNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		node := logFunc(func(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
			if dead.Load() {
				time.Sleep(3 * time.Second)
				return proto.Page{}, errors.New("i/o timeout")
			}
			return proto.Page{Through: id(1000), Head: id(1000), Messages: stored(1)}, nil
		})
		pace := NewPace(4, 1)
		var back atomic.Int32
		const hung, each = 8, 10
		for range hung {
			h := New(node, Config{Pace: pace})
			defer h.Close()
			h.Resync(id(1000))
			for n := range each {
				s := h.Attach([]channel.ID{alice}, new(proto.ID), func() { back.Add(1) })
				s.channels = []channel.ID{testkit.Channel(byte(n + 1))}
				defer s.Detach()
				s.Next()
			}
		}
		synctest.Wait()
		h := New(new(slowLog), Config{Pace: pace})
		defer h.Close()
		h.Resync(id(1000))
		for n := range 60 {
			began, got := time.Now(), make(chan time.Duration, 1)
			returns(h, n, func(Batch) { got <- time.Since(began) }, alice)
			// The first may find all slots taken by hubs whose logs are not yet known to hang.
			if took := <-got; took > tripTime && n > 0 || took > hung/4*slotPatience+tripTime {
				t.Errorf("reading %d of a healthy portal took %v", n, took)
			}
			time.Sleep(500 * time.Millisecond)
		}
		dead.Store(false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := back.Load(); n != hung*each {
			t.Errorf("%d sessions have their page after the node came back, want %d", n, hung*each)
		}
		if len(pace.trips)+len(pace.trials) != 0 {
			t.Errorf("%d slots and %d trials still held", len(pace.trips), len(pace.trials))
		}
	})
}
