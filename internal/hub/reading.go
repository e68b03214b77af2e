package hub

import (
	"errors"
	"math/rand/v2"
	"time"

	"pushgate/internal/proto"
)

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

// recall answers a question from the cache of recent messages, if that holds the answer.
func (h *Hub) recall(q proto.Question) (proto.Page, bool) {
	page, ok := h.recent.page(q, h.config.InboxMessages, h.config.InboxBytes)
	if ok {
		h.stats.Recalled.Add(1)
	}
	return page, ok
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
