package hub

import (
	"slices"
	"time"

	"pushgate/internal/proto"
)

// Pace bounds what hubs ask of their logs at a time, all together: Redis does one thing at a time, and
// whoever publishes waits behind what it was asked before. A trip to a log that does not answer costs
// Redis nothing, so it has its place for a moment only; and the hub's next trips have places apart,
// until one is answered. Hubs of a dead node so take no place from the others.
//
// It is made by [NewPace], and may be shared by hubs.
type Pace struct {
	trips     chan struct{} // a token for each trip under way
	trials    chan struct{} // likewise, of hubs whose log does not answer
	questions int
}

// NewPace allows so many round trips to logs at a time, each with so many questions at most. As many
// more may be under way to logs that did not answer before.
func NewPace(trips, questions int) *Pace {
	return &Pace{trips: make(chan struct{}, trips), trials: make(chan struct{}, trips), questions: questions}
}

// DefaultPace is right for one process. A question costs Redis about 0.1 ms if a session missed 20
// messages, so that what others ask waits for some milliseconds in the worst storm.
func DefaultPace() *Pace { return NewPace(4, 16) }

// tripPatience is how long a trip has its place. A log that answers takes some milliseconds.
const tripPatience = 200 * time.Millisecond

// trip is a round trip to the log.
type trip struct {
	place chan struct{} // to receive from when the place is free again

	// Guarded by reads.mu.
	late bool // it took too long, and has no place any more
	over bool
}

// work takes the head of the queue to the log as often as the pace allows, until the queue is empty or
// another worker waits for it.
func (h *Hub) work() {
	defer h.reads.workers.Done()
	for more := true; more; more = h.reads.again(cap(h.pace.trips)) {
		place := h.place()
		if place == nil {
			return
		}
		some, start := h.reads.take(h.pace.questions, cap(h.pace.trips))
		if start {
			go h.work()
		}
		if len(some) == 0 {
			<-place
			continue
		}
		h.ride(some, place)
	}
}

// place waits for a place in the pace. It returns nil if the hub is closed.
func (h *Hub) place() chan struct{} {
	for {
		trial := h.reads.hanging()
		place := h.pace.trips
		if trial {
			place = h.pace.trials
		}
		select {
		case place <- struct{}{}:
		case <-h.life.Done():
			return nil
		}
		if h.reads.hanging() == trial {
			return place
		}
		<-place // the log has failed or come back meanwhile
	}
}

// ride has the log answer some questions.
func (h *Hub) ride(some []*read, place chan struct{}) {
	questions := make([]proto.Question, len(some))
	for i, r := range some {
		questions[i] = r.Question
	}
	h.stats.Trips.Add(1)
	t := &trip{place: place}
	timer := time.AfterFunc(tripPatience, func() { h.reads.overdue(t) })
	answers := h.histories(questions)
	timer.Stop()
	h.reads.arrive(t, !slices.ContainsFunc(answers, func(a proto.Answer) bool { return a.Err == nil }))
	for i, r := range some {
		for _, a := range r.askers {
			h.answer(a, answers[i])
		}
	}
}

// startLocked reports whether one more worker is to be started, and counts it. rs.mu is held.
func (rs *reads) startLocked(most int) bool {
	if rs.closed || rs.waiting || len(rs.line) == 0 || rs.working >= rs.mostLocked(most) {
		return false
	}
	rs.waiting = true
	rs.working++
	rs.workers.Add(1) // under the lock: close waits later
	return true
}

// mostLocked returns how many workers there may be: one while the log does not answer. rs.mu is held.
func (rs *reads) mostLocked(most int) int {
	if rs.late > 0 || rs.hangs {
		return 1
	}
	return most
}

// take takes so many questions at most from the head of the queue for a worker that has waited for a
// place, and reports whether the next worker is to be started.
func (rs *reads) take(questions, most int) (some []*read, start bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.waiting = false
	some = slices.Clone(rs.line[:min(questions, len(rs.line))])
	rs.line = slices.Delete(rs.line, 0, len(some))
	for _, r := range some {
		r.taken = true
		delete(rs.open, r.name)
	}
	return some, rs.startLocked(most)
}

// again reports whether a worker is to wait for its next place. If not, it is to end.
func (rs *reads) again(most int) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.line) == 0 || rs.waiting || rs.working > rs.mostLocked(most) {
		rs.working--
		return false
	}
	rs.waiting = true
	return true
}

// hanging reports whether the log does not answer.
func (rs *reads) hanging() bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.late > 0 || rs.hangs
}

// overdue frees the place of a trip that takes too long.
func (rs *reads) overdue(t *trip) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if t.over {
		return
	}
	t.late = true
	rs.late++
	<-t.place
}

// arrive ends a trip, which has failed or not.
func (rs *reads) arrive(t *trip, failed bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	t.over = true
	rs.hangs = t.late && failed
	if t.late {
		rs.late--
		return
	}
	<-t.place
}
