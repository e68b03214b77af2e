package hub

import (
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// reads is the queue of the sessions' questions to the log. A few workers drain it in batches and
// exit: the longer the queue, the larger the batches. At most one worker waits for a slot at a
// time, so that hubs that share a Pace are served in turn.
type reads struct {
	mu     sync.Mutex
	queue  []*read          // in order of arrival
	open   map[string]*read // the queued ones, by what they ask
	closed bool             // no question is accepted any more

	working int  // workers
	waiting bool // one of them waits for a slot
	late    int  // round trips under way that took too long and have lost their slots
	hangs   bool // the last round trip that took too long failed

	workers sync.WaitGroup
}

// read is one question to the log, and the readings that wait for its answer.
type read struct {
	proto.Question
	name string

	// Guarded by reads.mu until it is taken, then immutable.
	askers []*reading
	taken  bool // it has left the queue
}

// ask queues a question and starts a worker if one is needed.
func (h *Hub) ask(q proto.Question, a *reading) *read {
	r, start := h.reads.enqueue(q, a, cap(h.pace.trips))
	if start {
		go h.work()
	}
	return r
}

// enqueue queues a question, or joins an equal one that is queued. It does not join one that has
// been sent: its snapshot may be older than the session that asks. It reports whether the caller
// must start one more worker, if there are fewer than most. A closed hub takes no question: r is
// nil.
func (rs *reads) enqueue(q proto.Question, a *reading, most int) (r *read, start bool) {
	name, _ := q.After.AppendText(make([]byte, 0, proto.IDLen+len(q.Channels)*channel.IDLen))
	for _, id := range q.Channels {
		name, _ = id.AppendText(name)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return nil, false
	}
	r = rs.open[string(name)]
	if r == nil {
		r = &read{Question: q, name: string(name)}
		if rs.open == nil {
			rs.open = make(map[string]*read)
		}
		rs.open[r.name] = r
		rs.queue = append(rs.queue, r)
		start = rs.startLocked(most)
	}
	r.askers = append(r.askers, a)
	return r, start
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

// histories asks the log. After a panic every answer is an error, so that all questions are retried
// after a pause.
func (h *Hub) histories(questions []proto.Question) (answers []proto.Answer) {
	defer h.config.Panics.Recover("history", func() {
		answers = make([]proto.Answer, len(questions))
		for i := range answers {
			answers[i].Err = errPanic
		}
	})
	return h.log.Histories(h.life, questions)
}

// answer passes an answer to one of those who asked. A panic in one must not keep it from the
// others.
func (h *Hub) answer(a *reading, answer proto.Answer) {
	defer h.config.Panics.Recover("replay", nil)
	a.answered(answer)
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

// abandon removes an asker from a question, and with the last asker the question from the queue. A
// question that has been sent is answered all the same.
func (rs *reads) abandon(r *read, a *reading) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	i := slices.Index(r.askers, a)
	if r.taken || i < 0 {
		return
	}
	if r.askers = slices.Delete(r.askers, i, i+1); len(r.askers) > 0 {
		return
	}
	delete(rs.open, r.name)
	i = slices.Index(rs.queue, r)
	rs.queue = slices.Delete(rs.queue, i, i+1)
}

// close empties the queue for good: no worker starts any more, and none finds a question.
func (rs *reads) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for _, r := range rs.queue {
		r.taken = true
	}
	rs.queue, rs.open = nil, nil
}
