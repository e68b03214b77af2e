package edge

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"pushgate/internal/contain"
)

// member is a connection as the wheel and a drain see it.
type member interface {
	// visit is called once a turn.
	visit(now time.Time)
	// leave asks the connection to go.
	leave()
	// cut ends the connection at once.
	cut()
}

const (
	wheelSlots = 50              // so that one step is little work
	maxTurn    = 5 * time.Second // how late a stuck write may be noticed
)

// wheel is the one clock of all connections: instead of a timer of its own, each has a slot, and is visited once a turn.
type wheel struct {
	turn  time.Duration // immutable
	pings int           // turns from one ping to the next; immutable
	beats int           // turns from one heartbeat of version 5 to the next; immutable

	panics contain.Report // of visits; immutable

	mu     sync.Mutex
	slots  [wheelSlots]map[member]struct{}
	closed bool // whoever comes is cut
}

func newWheel(pingInterval time.Duration) *wheel {
	w := &wheel{pings: max(5, int((pingInterval+maxTurn-1)/maxTurn))}
	w.turn = pingInterval / time.Duration(w.pings)
	w.beats = max(1, int(heartbeat/w.turn))
	for i := range w.slots {
		w.slots[i] = make(map[member]struct{})
	}
	return w
}

// add gives m a slot and returns it, for remove.
func (w *wheel) add(m member) (slot int) {
	slot = rand.IntN(wheelSlots)
	w.mu.Lock()
	w.slots[slot][m] = struct{}{}
	closed := w.closed
	w.mu.Unlock()
	if closed {
		m.cut()
	}
	return slot
}

// close cuts all connections, and every later one.
func (w *wheel) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for _, m := range w.members() {
		w.call(m, m.cut)
	}
}

// call calls f, which is about m. After a panic it cuts m.
func (w *wheel) call(m member, f func()) {
	defer w.panics.Recover("visit", m.cut)
	f()
}

func (w *wheel) remove(m member, slot int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.slots[slot], m)
}

// members gives all connections, in no order.
func (w *wheel) members() []member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []member
	for _, slot := range w.slots {
		for m := range slot {
			all = append(all, m)
		}
	}
	return all
}

func (w *wheel) run(ctx context.Context) {
	ticker := time.NewTicker(w.turn / wheelSlots)
	defer ticker.Stop()
	var visited []member
	for slot := 0; ; slot = (slot + 1) % wheelSlots {
		var now time.Time
		select {
		case now = <-ticker.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		for m := range w.slots[slot] {
			visited = append(visited, m)
		}
		w.mu.Unlock()
		for _, m := range visited {
			w.call(m, func() { m.visit(now) })
		}
		clear(visited)
		visited = visited[:0]
	}
}

// wait pauses for d, or until ctx ends, and then says why.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter gives a time between half of d and one and a half of it.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}
