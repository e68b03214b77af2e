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

// reads is the queue of the questions that sessions have for the log. A few workers take its head to
// the log, until it is empty; so the longer the queue, the more goes with one trip. Not more than one of
// them waits for a place at a time, so that hubs that share a Pace have turns.
type reads struct {
	mu     sync.Mutex
	line   []*read          // in order of arrival
	open   map[string]*read // those in the line, by what they ask
	closed bool             // nothing is asked any more

	working int  // workers
	waiting bool // one of them waits for a place
	late    int  // trips under way that took too long, and have no place any more
	hangs   bool // the last trip that took too long failed

	workers sync.WaitGroup
}

// read is one question on its way, and all who want to know.
type read struct {
	proto.Question
	name string

	// Guarded by reads.mu until it is taken, then immutable.
	askers []*reading
	taken  bool // it has left the line
}

// reading is a session's question to the log, asked again until there is a page, or the session gives it up. Only the caller of Next moves the
// cursor, so that the question holds until then.
type reading struct {
	session  *Session
	question proto.Question

	// Guarded by session.mu.
	pause time.Duration // before the next attempt
	timer *time.Timer   // of the next attempt; nil if there was no pause yet
	asked *read         // nil before and between the attempts
	page  *proto.Page   // nil until there is one
}

// The pauses between two attempts to read the log, which has failed.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// start makes the first attempt, at once or when the meter allows it. The caller is that of Next.
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

// attempt asks for the page, unless the session has given it up. Reads of the log are paced: a storm of sessions stands in the line, holding
// nothing but its place.
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

// attemptLater is attempt in a goroutine of its own.
func (r *reading) attemptLater() {
	defer r.session.hub.config.Panics.Recover("replay", func() { r.answered(proto.Answer{Err: errPanic}) })
	r.attempt()
}

// answered takes the answer to an attempt. It does not block.
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
	pause := r.pause/2 + rand.N(r.pause) // not the same for all
	r.pause = min(2*r.pause, mostPause)  // before the next attempt can begin
	r.timer = time.AfterFunc(pause, r.attemptLater)
	s.mu.Unlock()
	s.hub.stats.ReplayErrors.Add(1)
}

// errPanic is the answer to an attempt that ended in a panic, which has been reported.
var errPanic = errors.New("a panic")

// recall answers a question from what was notified of late, if that holds the answer.
func (h *Hub) recall(q proto.Question) (proto.Page, bool) {
	page, ok := h.recent.page(q, h.config.InboxMessages, h.config.InboxBytes)
	if ok {
		h.stats.Recalled.Add(1)
	}
	return page, ok
}

// ask puts a question into the line, and sees to it that somebody takes it to the log.
func (h *Hub) ask(q proto.Question, a *reading) *read {
	r, start := h.reads.enter(q, a, cap(h.pace.trips))
	if start {
		go h.work()
	}
	return r
}

// histories asks the log. After a panic every answer is an error, so that all are asked again after a pause.
func (h *Hub) histories(questions []proto.Question) (answers []proto.Answer) {
	defer h.config.Panics.Recover("history", func() {
		answers = make([]proto.Answer, len(questions))
		for i := range answers {
			answers[i].Err = errPanic
		}
	})
	return h.log.Histories(h.life, questions)
}

// answer hands an answer to one of those who asked; a panic in one must not keep it from the others.
func (h *Hub) answer(a *reading, answer proto.Answer) {
	defer h.config.Panics.Recover("replay", nil)
	a.answered(answer)
}

// enter puts a question into the line, or joins one that stands there and is the same. One that is already on its way is not joined: its
// snapshot may be older than the session that asks. It reports whether the caller is to start one more worker, of so many at most.
// A hub that is closed takes no question: r is nil.
func (rs *reads) enter(q proto.Question, a *reading, most int) (r *read, start bool) {
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
		rs.line = append(rs.line, r)
		start = rs.startLocked(most)
	}
	r.askers = append(r.askers, a)
	return r, start
}

// close ends the line: nobody starts a worker any more, and none finds a question.
func (rs *reads) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for _, r := range rs.line {
		r.taken = true
	}
	rs.line, rs.open = nil, nil
}

// abandon takes an asker off a question, and the question out of the line with the last one. One on its way is answered all the same.
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
	i = slices.Index(rs.line, r)
	rs.line = slices.Delete(rs.line, i, i+1)
}
