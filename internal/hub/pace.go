package hub

import "time"

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
