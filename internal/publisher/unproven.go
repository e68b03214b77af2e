package publisher

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A signature can be checked only after the body has been read, and anybody can write something
// that looks like one. What is read before that is bounded: in time for each body, and in memory
// for all of them together.

const (
	// unprovenTimeout is how long the body of an outsider's post may take to arrive, from the end
	// of its head.
	unprovenTimeout = 5 * time.Second
	// firstUnproven is how much memory such a body gets before any of it has come, whatever length
	// it announces.
	firstUnproven = 4 << 10
)

// unproven counts the memory of bodies that nobody has vouched for yet, in bytes.
type unproven struct {
	held  atomic.Int64
	limit int64 // immutable
}

// reservation is one body's part of the memory. It belongs to one goroutine. A nil reservation is
// unlimited.
type reservation struct {
	of    *unproven
	bytes int64
}

// grow reserves memory up to so many bytes in all. It reports false if there is no room for them. A
// body is never too large to be alone.
func (r *reservation) grow(to int64) bool {
	if r == nil {
		return true
	}
	more := to - r.bytes
	if total := r.of.held.Add(more); total > r.of.limit && total > to {
		r.of.held.Add(-more)
		return false
	}
	r.bytes = to
	return true
}

// release returns the memory: the body is proven, or not held any more.
func (r *reservation) release() {
	if r != nil {
		r.of.held.Add(-r.bytes)
		r.bytes = 0
	}
}

// reserve returns the reservation for the body of a request that may be anybody's, and bounds the
// time of its arrival. A sender in an allowed network is no outsider, and gets nil, unless a page
// makes it send.
func (p *Publisher) reserve(w http.ResponseWriter, r *http.Request) *reservation {
	if p.allowed(r) && !byPage(r) {
		return nil
	}
	// An error means that w has no connection, in tests.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unprovenTimeout))
	return &reservation{of: &p.unproven}
}

// leaveUnread has the connection of a request closed after the answer, and nothing more of the
// request read: net/http would read a quarter of a megabyte of it first.
func leaveUnread(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // as in reserve
}
