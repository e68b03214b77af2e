package transport

import (
	"slices"
	"sync"

	"pushgate/internal/contain"
	"pushgate/internal/wire"
)

const (
	// ownTurns is how many connections the goroutine that dispatches serves itself: to wake another
	// goroutine takes longer than that.
	ownTurns = 8
	// batchTurns is how many connections a worker takes from the queue at a time.
	batchTurns = 16
)

// turner is a connection that something may be due for.
type turner interface {
	// run takes a turn. It reports again if the connection is to have another one, and not ok after a
	// panic: the encoder is not to be used any more.
	run(*wire.Encoder) (again, ok bool)
}

// Queue holds the connections that something is due for, and gives each its turn. Few goroutines serve
// it, however many connections stand in it: while one waits, what comes for it gathers, so that the
// more there is to do, the more goes with one write. If there is next to nothing to do, the goroutine
// that dispatches serves the connections itself, when the dispatch ends. Its methods may be called
// concurrently.
type Queue struct {
	start func(func()) // of a goroutine; immutable
	most  int          // workers at a time; immutable
	pool  wire.Pool

	mu          sync.Mutex
	waiting     []turner // in order of arrival; the first taken ones are being served
	taken       int
	dispatching int // dispatches under way, each of which serves whom it has woken when it ends
	workers     int
}

// NewQueue makes a queue that is served by at most so many workers at a time. start starts a goroutine
// that its caller waits for: it is the Go of a [sync.WaitGroup].
// Panics over single messages are reported to panics.
func NewQueue(start func(func()), workers int, panics contain.Report) *Queue {
	return &Queue{start: start, most: workers, pool: wire.Pool{Panics: panics}}
}

// add appends a connection, which must not be in the queue.
func (q *Queue) add(d turner) {
	q.mu.Lock()
	q.waiting = append(q.waiting, d)
	start := q.dispatching == 0 && q.workers < q.most
	if start {
		q.workers++
	}
	q.mu.Unlock()
	if start {
		q.start(q.work)
	}
}

// Defer has those wait who are woken from now on, until the returned function is called. It is for a
// dispatch, during which nobody must be served in the middle.
func (q *Queue) Defer() (end func()) {
	q.mu.Lock()
	q.dispatching++
	q.mu.Unlock()
	return q.end
}

// end follows a Defer. It serves a few connections itself.
func (q *Queue) end() {
	var few [ownTurns]turner
	n, start := 0, 0
	q.mu.Lock()
	q.dispatching--
	if waiting := len(q.waiting) - q.taken; waiting <= len(few) && q.workers == 0 {
		n = q.takeLocked(few[:])
	} else {
		start = min(q.most-q.workers, (waiting+batchTurns-1)/batchTurns)
		q.workers += start
	}
	q.mu.Unlock()
	for range start {
		q.start(q.work)
	}
	if n > 0 {
		q.serve(few[:n], q.pool.Encoder()).Release()
	}
}

// work serves the queue until it is empty.
func (q *Queue) work() {
	e := q.pool.Encoder()
	defer func() { e.Release() }()
	var some [batchTurns]turner
	for {
		q.mu.Lock()
		n := q.takeLocked(some[:])
		if n == 0 {
			q.workers--
		}
		q.mu.Unlock()
		if n == 0 {
			return
		}
		e = q.serve(some[:n], e)
	}
}

// serve gives some connections their turns, and returns the encoder: another one after a panic.
func (q *Queue) serve(some []turner, e *wire.Encoder) *wire.Encoder {
	for _, d := range some {
		again, ok := d.run(e)
		if !ok {
			e = q.pool.Encoder()
		}
		if again {
			q.add(d)
		}
	}
	clear(some)
	return e
}

// takeLocked takes connections off the head of the queue, and returns their number. q.mu is held.
func (q *Queue) takeLocked(some []turner) int {
	n := copy(some, q.waiting[q.taken:])
	clear(q.waiting[q.taken : q.taken+n])
	q.taken += n
	if 2*q.taken >= len(q.waiting) {
		q.waiting = slices.Delete(q.waiting, 0, q.taken)
		q.taken = 0
	}
	return n
}

// Idle reports whether nobody waits or is served.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.workers == 0 && len(q.waiting) == 0
}
