package transport

import (
	"slices"
	"sync"

	"pushgate/internal/contain"
	"pushgate/internal/wire"
)

const (
	// ownRuns is how many connections the goroutine that dispatches serves itself: it would take
	// longer to wake another goroutine.
	ownRuns = 8
	// batchRuns is how many connections a worker takes from the queue at a time.
	batchRuns = 16
)

// runner is a connection that something may be due for.
type runner interface {
	// run serves the connection once. It reports again if that is to be repeated, and false for ok
	// after a panic: then the encoder must not be used any more.
	run(*wire.Encoder) (again, ok bool)
}

// Queue holds the connections that something is due for. A few goroutines, the workers, serve them
// in the order of their arrival, however many there are. While a connection waits, more messages
// for it gather, and go out with the same write. If hardly anything is due, there is no worker: the
// goroutine that dispatches serves the connections when the dispatch ends. The methods may be
// called concurrently.
type Queue struct {
	start func(func()) // of a goroutine; immutable
	most  int          // workers at a time; immutable
	pool  wire.Pool

	mu          sync.Mutex
	waiting     []runner // in order of arrival; the first ones, taken in number, have been taken
	taken       int
	dispatching int // dispatches under way (see Defer)
	workers     int
}

// NewQueue returns a queue with at most so many workers at a time. start starts a goroutine that
// its caller waits for: it is the Go method of a [sync.WaitGroup]. Panics over single messages are
// reported to panics.
func NewQueue(start func(func()), workers int, panics contain.Report) *Queue {
	return &Queue{start: start, most: workers, pool: wire.Pool{Panics: panics}}
}

// add appends a connection, which must not be in the queue.
func (q *Queue) add(d runner) {
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

// Defer delays the serving of connections that are woken from now on until [Queue.Resume] is
// called. A dispatch calls it, so that no connection is served before all sessions have the
// message.
func (q *Queue) Defer() {
	q.mu.Lock()
	q.dispatching++
	q.mu.Unlock()
}

// Resume ends what Defer began. It serves a few connections itself, or starts workers for more.
func (q *Queue) Resume() {
	var few [ownRuns]runner
	n, start := 0, 0
	q.mu.Lock()
	q.dispatching--
	if waiting := len(q.waiting) - q.taken; waiting <= len(few) && q.workers == 0 {
		n = q.takeLocked(few[:])
	} else {
		start = min(q.most-q.workers, (waiting+batchRuns-1)/batchRuns)
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
	var some [batchRuns]runner
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

// serve serves some connections, and returns the encoder, which is another one after a panic.
func (q *Queue) serve(some []runner, e *wire.Encoder) *wire.Encoder {
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

// takeLocked takes connections from the head of the queue, and returns their number. q.mu is held.
func (q *Queue) takeLocked(some []runner) int {
	n := copy(some, q.waiting[q.taken:])
	clear(q.waiting[q.taken : q.taken+n])
	q.taken += n
	if 2*q.taken >= len(q.waiting) {
		q.waiting = slices.Delete(q.waiting, 0, q.taken)
		q.taken = 0
	}
	return n
}
