package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"pushgate/internal/proto"
)

// ErrDown is the error that followers of a [Memory] get when its link of notifications is down.
var ErrDown = errors.New("the link of notifications is down")

// faults holds the faults that a test has asked for. Memory.mu guards it.
type faults struct {
	down  bool
	lag   time.Duration
	ahead time.Duration // of the real clock
	err   error
	hooks struct{ before, after func() }
}

// fault returns the error that a call must return, if any. m.mu is held.
func (m *Memory) fault(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.err
}

// SetDown takes the link of notifications down for all followers, or restores it. While it is down,
// appends work, but no follower is notified of them, nor of what was still under way.
func (m *Memory) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setDown(down)
}

// Cut takes the link of notifications down and restores it at once: what was under way is lost.
func (m *Memory) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setDown(true)
	m.setDown(false)
}

func (m *Memory) setDown(down bool) {
	if m.down == down {
		return
	}
	m.down = down
	for l := range m.links {
		m.connect(l)
	}
}

// SetLag delays notifications of what is appended from now on, for all followers. They stay in
// order. Followers do not notice that they are late.
func (m *Memory) SetLag(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lag = d
}

// Fail makes every call return err, except Follow, whose followers go on. With nil, calls work
// again.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// OnHistory sets functions that every History calls, in its goroutine, before and after it takes
// its snapshot. They may be nil, block, and call the log.
func (m *Memory) OnHistory(before, after func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hooks.before, m.hooks.after = before, after
}

// Advance moves the log's clock ahead of time.Now, for tests that run in real time.
func (m *Memory) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

// Flush deletes everything that the log holds, including its head. Links of notifications stay.
func (m *Memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

// link is one follower's subscription. Memory.mu guards it.
type link struct {
	wake chan struct{} // of capacity 1, never closed; immutable

	up     bool
	down   bool     // Down was called, and not yet Resync
	newest proto.ID // newest id that was queued
	queue  []event
}

// event is one call of a follower: Down if err is set, Resync if there is no record, else Dispatch.
type event struct {
	id     proto.ID
	record []byte
	err    error
	due    time.Time // by time.Now; zero: at once
}

// notify puts a message into the queue of a link that is up. m.mu is held.
func (l *link) notify(e event) {
	if l.up && e.id.After(l.newest) {
		l.newest = e.id
		l.put(e)
	}
}

func (l *link) put(e event) {
	l.queue = append(l.queue, e)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// connect sets the state of the link of notifications. What was under way is lost. m.mu is held.
func (m *Memory) connect(l *link) {
	l.up = !m.down
	l.queue = slices.DeleteFunc(l.queue, func(e event) bool { return !l.up || e.err == nil })
	if l.up {
		l.newest = m.headFor(l.newest)
		l.put(event{id: l.newest})
	} else if !l.down {
		l.put(event{err: ErrDown})
	}
}

// take returns the next event of a link that is due, or how long to wait for it. A negative time
// means for ever.
func (m *Memory) take(l *link) (e event, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(l.queue) == 0 {
		return e, -1
	}
	if wait := time.Until(l.queue[0].due); wait > 0 {
		return e, wait
	}
	e, l.queue = l.queue[0], l.queue[1:]
	if e.record == nil {
		l.down = e.err != nil
	}
	return e, 0
}

// Follow does the same as [store.Log.Follow].
func (m *Memory) Follow(ctx context.Context, f proto.Follower) error {
	l := &link{wake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.links[l] = struct{}{}
	m.connect(l)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.links, l)
	}()
	for ctx.Err() == nil {
		e, wait := m.take(l)
		if wait != 0 {
			l.sleep(ctx, wait)
			continue
		}
		switch {
		case e.err != nil:
			f.Down(e.err)
		case e.record == nil:
			f.Resync(e.id)
		default:
			msg, err := proto.DecodeRecord(e.id, e.record)
			if err != nil {
				m.cfg.Damaged(e.id, err)
				continue
			}
			f.Dispatch(msg)
		}
	}
	return ctx.Err()
}

// sleep waits until l is woken, the time is over or ctx ends.
func (l *link) sleep(ctx context.Context, d time.Duration) {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-due:
	}
}
