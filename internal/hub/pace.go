package hub

import (
	"slices"
	"time"

	"pushgate/internal/proto"
)

// Pace bounds the concurrent reads of all hubs that share it. Redis does one thing at a time, so
// publishers wait behind reads that were sent before. A round trip to a log that does not answer
// costs Redis nothing, so it holds its slot only for a moment. Until one is answered, the hub's
// next round trips take slots of a separate set. So the hubs of a dead node take no slot from the
// others.
//
// Make it with [NewPace]. Several hubs may share it.
type Pace struct {
	trips     chan struct{} // a token for each round trip under way
	trials    chan struct{} // likewise, for hubs whose log does not answer
	questions int
}

// NewPace returns a pace that allows at most so many concurrent round trips to logs, each with at
// most so many questions. As many more may be under way to logs that did not answer before.
func NewPace(trips, questions int) *Pace {
	return &Pace{trips: make(chan struct{}, trips), trials: make(chan struct{}, trips), questions: questions}
}

// DefaultPace returns a pace that suits one process. A question costs Redis about 0.1 ms if a
// session missed 20 messages, so that other commands wait some milliseconds in the worst storm.
func DefaultPace() *Pace { return NewPace(4, 16) }

// slotPatience is how long a round trip holds its slot. A log that answers takes some milliseconds.
const slotPatience = 200 * time.Millisecond

// trip is one round trip to the log.
type trip struct {
	slot chan struct{} // receive from it to free the slot

	// Guarded by reads.mu.
	late bool // it took too long and has lost its slot
	over bool
}

// work is a worker: it sends batches from the head of the queue to the log, at the rate that the
// pace allows. It ends when the queue is empty or another worker already waits for a slot.
func (h *Hub) work() {
	defer h.reads.workers.Done()
	for more := true; more; more = h.reads.again(cap(h.pace.trips)) {
		slot := h.slot()
		if slot == nil {
			return
		}
		some, start := h.reads.take(h.pace.questions, cap(h.pace.trips))
		if start {
			go h.work()
		}
		if len(some) == 0 {
			<-slot
			continue
		}
		h.roundTrip(some, slot)
	}
}

// slot waits for a slot of the pace. It returns nil if the hub is closed.
func (h *Hub) slot() chan struct{} {
	for {
		trial := h.reads.hanging()
		slot := h.pace.trips
		if trial {
			slot = h.pace.trials
		}
		select {
		case slot <- struct{}{}:
		case <-h.life.Done():
			return nil
		}
		if h.reads.hanging() == trial {
			return slot
		}
		<-slot // the log stopped or started to answer meanwhile
	}
}

// roundTrip sends questions to the log and passes the answers on.
func (h *Hub) roundTrip(some []*read, slot chan struct{}) {
	questions := make([]proto.Question, len(some))
	for i, r := range some {
		questions[i] = r.Question
	}
	h.stats.Trips.Add(1)
	t := &trip{slot: slot}
	timer := time.AfterFunc(slotPatience, func() { h.reads.overdue(t) })
	answers := h.histories(questions)
	timer.Stop()
	h.reads.arrive(t, !slices.ContainsFunc(answers, func(a proto.Answer) bool { return a.Err == nil }))
	for i, r := range some {
		for _, a := range r.askers {
			h.answer(a, answers[i])
		}
	}
}

// startLocked reports whether the caller must start one more worker, and counts it. rs.mu is held.
func (rs *reads) startLocked(most int) bool {
	if rs.closed || rs.waiting || len(rs.queue) == 0 || rs.working >= rs.mostLocked(most) {
		return false
	}
	rs.waiting = true
	rs.working++
	rs.workers.Add(1) // under the lock, so that it happens before close waits
	return true
}

// mostLocked returns the largest number of workers: one while the log does not answer. rs.mu is
// held.
func (rs *reads) mostLocked(most int) int {
	if rs.late > 0 || rs.hangs {
		return 1
	}
	return most
}

// take removes at most that many questions from the head of the queue, for a worker that has got a
// slot, and reports whether the caller must start the next worker.
func (rs *reads) take(questions, most int) (some []*read, start bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.waiting = false
	some = slices.Clone(rs.queue[:min(questions, len(rs.queue))])
	rs.queue = slices.Delete(rs.queue, 0, len(some))
	for _, r := range some {
		r.taken = true
		delete(rs.open, r.name)
	}
	return some, rs.startLocked(most)
}

// again reports whether a worker must wait for its next slot. If not, it must end.
func (rs *reads) again(most int) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.queue) == 0 || rs.waiting || rs.working > rs.mostLocked(most) {
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

// overdue frees the slot of a round trip that takes too long.
func (rs *reads) overdue(t *trip) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if t.over {
		return
	}
	t.late = true
	rs.late++
	<-t.slot
}

// arrive ends a round trip. failed says that no question was answered.
func (rs *reads) arrive(t *trip, failed bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	t.over = true
	rs.hangs = t.late && failed
	if t.late {
		rs.late--
		return
	}
	<-t.slot
}
