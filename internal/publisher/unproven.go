package publisher

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A signature can be checked only after the body has been read, and anybody can send something that
// looks like one. So unchecked bodies are bounded: in time for each body, and in memory for all of
// them together.

const (
	// unprovenTimeout bounds the time in which the body of an outsider's post must arrive, from the
	// end of its head.
	unprovenTimeout = 5 * time.Second
	// firstUnproven is the memory, in bytes, that such a body gets before any of it has come,
	// whatever length it announces.
	firstUnproven = 4 << 10
)

// unproven counts the memory of bodies whose signature has not been checked yet, in bytes.
type unproven struct {
	held  atomic.Int64
	limit int64 // immutable
}

// reservation is one body's part of that memory. It is for one goroutine. A nil reservation is
// unlimited.
type reservation struct {
	of    *unproven
	bytes int64
}

// grow extends the reservation to that many bytes in all. It returns false if there is no room. A
// single body always fits.
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

// release frees the memory: the body's signature has been checked, or the body is not held any
// more.
func (r *reservation) release() {
	if r != nil {
		r.of.held.Add(-r.bytes)
		r.bytes = 0
	}
}

// reserve returns the reservation for the body of an outsider's request, and bounds the time of its
// arrival. A sender in an allowed network is not an outsider and gets nil, unless a page made the
// request.
func (p *Publisher) reserve(w http.ResponseWriter, r *http.Request) *reservation {
	if p.allowed(r) && !byPage(r) {
		return nil
	}
	// An error means that w has no connection, in tests.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unprovenTimeout))
	return &reservation{of: &p.unproven}
}

// leaveUnread makes net/http close the connection after the answer without reading more of the
// request. Otherwise it would first read a quarter of a megabyte.
func leaveUnread(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // as in reserve
}
