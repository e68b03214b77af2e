package hub

import (
	"errors"
	"math/rand/v2"
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

// reading is a session's question to the log. It is retried until there is a page or the session is
// detached. Only the caller of Next moves the cursor, so that the question stays valid until then.
type reading struct {
	session  *Session
	question proto.Question

	// Guarded by session.mu.
	pause time.Duration // before the next attempt
	timer *time.Timer   // of the next attempt; nil if there was no pause yet
	asked *read         // nil before and between the attempts
	page  *proto.Page   // nil until there is one
}

// The pauses between two attempts to read a log that has failed.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// start makes the first attempt, at once or when the meter allows it. Only Next calls it.
func (r *reading) start() {
	s := r.session
	var pause time.Duration
	if s.meter != nil {
		pause = s.meter.Pause(r.question.After)
	}
	if pause == 0 {
		r.attempt()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == r {
		r.timer = time.AfterFunc(pause, r.attemptLater)
	}
}

// attempt asks for the page, unless the session has given it up. Reads of the log are paced: in a
// storm a session waits in the queue and holds nothing else.
func (r *reading) attempt() {
	h := r.session.hub
	if page, ok := h.recall(r.question); ok {
		r.answered(proto.Answer{Page: page})
		return
	}
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == r {
		r.asked = h.ask(r.question, r)
	}
}

// attemptLater runs attempt in a timer's goroutine, and recovers its panics.
func (r *reading) attemptLater() {
	defer r.session.hub.config.Panics.Recover("replay", func() { r.answered(proto.Answer{Err: errPanic}) })
	r.attempt()
}

// answered handles the answer to an attempt. It does not block.
func (r *reading) answered(a proto.Answer) {
	s := r.session
	s.mu.Lock()
	if s.reading != r { // it has been given up
		s.mu.Unlock()
		return
	}
	r.asked = nil
	if a.Err == nil {
		r.page = &a.Page
		wake := s.wakeLocked()
		s.mu.Unlock()
		if wake {
			s.wake()
		}
		return
	}
	pause := r.pause/2 + rand.N(r.pause) // jitter, so that sessions do not retry all at once
	r.pause = min(2*r.pause, mostPause)  // set before the timer can start the next attempt
	r.timer = time.AfterFunc(pause, r.attemptLater)
	s.mu.Unlock()
	s.hub.stats.ReplayErrors.Add(1)
}

// errPanic is the error of an attempt that panicked. The panic has been reported.
var errPanic = errors.New("panic while the log was read")

// recall answers a question from the cache of recent messages, if that holds the answer.
func (h *Hub) recall(q proto.Question) (proto.Page, bool) {
	page, ok := h.recent.page(q, h.config.InboxMessages, h.config.InboxBytes)
	if ok {
		h.stats.Recalled.Add(1)
	}
	return page, ok
}

// ask queues a question and starts a worker if one is needed.
func (h *Hub) ask(q proto.Question, a *reading) *read {
	r, start := h.reads.enqueue(q, a, cap(h.pace.trips))
	if start {
		go h.work()
	}
	return r
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
