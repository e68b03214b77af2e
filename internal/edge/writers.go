package edge

import (
	"slices"
	"sync"

	"pushgate/internal/proto"
)

const (
	// atOnce is how many connections the goroutine that dispatches writes to itself: to wake another one takes longer than that.
	atOnce = 8
	// turnsTaken is how many turns a goroutine takes from the line at a time.
	turnsTaken = 16
)

// writable is a connection that something may be due for.
type writable interface {
	// turn sends what is due, as far as that goes without waiting, and reports true if the connection is to have another turn.
	turn(p *press) (again bool)
}

// writers give each connection that has been woken its turn to be written to. There are few of them however many connections are woken: while a
// connection stands in line, what comes for it gathers, so that the more there is to do, the more goes with one write. When there is next to
// nothing to do, whoever dispatches does it himself. Methods may be called concurrently.
type writers struct {
	start   func(func()) // of a goroutine; immutable
	most    int          // goroutines at a time; immutable
	packets *packets     // immutable

	mu          sync.Mutex
	line        []writable // in order of arrival; the first ones, so many as taken says, have been taken
	taken       int
	dispatching int // how many dispatch, and see to those that they wake afterwards
	working     int // goroutines
}

// add puts a connection into the line, in which it must not be yet.
func (w *writers) add(c writable) {
	w.mu.Lock()
	w.line = append(w.line, c)
	start := w.dispatching == 0 && w.working < w.most
	if start {
		w.working++
	}
	w.mu.Unlock()
	if start {
		w.start(w.work)
	}
}

// begin has those wait who are woken by what is dispatched now, until all are known.
func (w *writers) begin() {
	w.mu.Lock()
	w.dispatching++
	w.mu.Unlock()
}

// end follows a begin. It writes to a few itself.
func (w *writers) end() {
	var few [atOnce]writable
	n, start := 0, 0
	w.mu.Lock()
	w.dispatching--
	if waiting := len(w.line) - w.taken; waiting <= len(few) && w.working == 0 {
		n = w.takeLocked(few[:])
	} else {
		start = min(w.most-w.working, (waiting+turnsTaken-1)/turnsTaken)
		w.working += start
	}
	w.mu.Unlock()
	for range start {
		w.start(w.work)
	}
	if n > 0 {
		p := w.packets.press()
		w.serve(few[:n], p)
		p.putAway()
	}
}

// work serves the line until it is empty.
func (w *writers) work() {
	p := w.packets.press()
	defer p.putAway()
	var some [turnsTaken]writable
	for {
		w.mu.Lock()
		n := w.takeLocked(some[:])
		if n == 0 {
			w.working--
		}
		w.mu.Unlock()
		if n == 0 {
			return
		}
		w.serve(some[:n], p)
	}
}

// serve gives some connections their turns.
func (w *writers) serve(some []writable, p *press) {
	for _, c := range some {
		if c.turn(p) {
			w.add(c)
		}
	}
	clear(some)
}

// takeLocked takes the first ones of the line, and gives their number. w.mu is held.
func (w *writers) takeLocked(some []writable) int {
	n := copy(some, w.line[w.taken:])
	clear(w.line[w.taken : w.taken+n])
	w.taken += n
	if 2*w.taken >= len(w.line) {
		w.line = slices.Delete(w.line, 0, w.taken)
		w.taken = 0
	}
	return n
}

// Dispatch implements [proto.Follower].
func (f follower) Dispatch(m *proto.Message) {
	f.writers.begin()
	f.Hub.Dispatch(m)
	f.writers.end()
}
