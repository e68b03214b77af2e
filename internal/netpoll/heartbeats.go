package netpoll

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"pushgate/internal/contain"
)

// Member is a connection as [Heartbeats] and a drain see it. Its methods must not block.
type Member interface {
	// Tick is called once an interval.
	Tick(now time.Time)
	// Leave asks the connection to end soon: its server is leaving.
	Leave()
	// Cut ends the connection at once.
	Cut()
}

// heartbeatSlots is the number of steps that an interval has, so that each step is little work.
const heartbeatSlots = 50

// Heartbeats is the one clock of all connections. Instead of a timer of its own, each connection
// has a slot and is ticked once an interval. All methods may be called concurrently.
type Heartbeats struct {
	interval time.Duration  // immutable
	panics   contain.Report // immutable

	mu     sync.Mutex
	slots  [heartbeatSlots]map[Member]struct{}
	closed bool // every new member is cut
}

// NewHeartbeats returns a clock that ticks each member once an interval while [Heartbeats.Run]
// runs. A panic of a member's method is reported to panics, and the member is cut.
func NewHeartbeats(interval time.Duration, panics contain.Report) *Heartbeats {
	h := &Heartbeats{interval: interval, panics: panics}
	for i := range h.slots {
		h.slots[i] = make(map[Member]struct{})
	}
	return h
}

// Interval returns the time between two ticks of a member.
func (h *Heartbeats) Interval() time.Duration { return h.interval }

// RandomSlot returns a slot for [Heartbeats.Add].
func RandomSlot() int { return rand.IntN(heartbeatSlots) }

// Add puts m, which is not a member yet, into a slot from [RandomSlot]. After [Heartbeats.Close], m
// is cut before Add returns.
func (h *Heartbeats) Add(m Member, slot int) {
	h.mu.Lock()
	h.slots[slot][m] = struct{}{}
	closed := h.closed
	h.mu.Unlock()
	if closed {
		m.Cut()
	}
}

// Remove takes m out of the slot to which it was added. A tick that has begun may still call it. A
// second call does nothing.
func (h *Heartbeats) Remove(m Member, slot int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.slots[slot], m)
}

// Members returns all members, in no order.
func (h *Heartbeats) Members() []Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Member
	for _, slot := range h.slots {
		for m := range slot {
			all = append(all, m)
		}
	}
	return all
}

// Close cuts all members, and every later one when it is added. It does not end Run.
func (h *Heartbeats) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, m := range h.Members() {
		h.Call(m, m.Cut)
	}
}

// Call calls a method of m. After a panic it cuts m.
func (h *Heartbeats) Call(m Member, method func()) {
	defer h.panics.Recover("tick", m.Cut)
	method()
}

// Run ticks the members, slot by slot, until ctx ends. It is called once. On a busy machine it
// catches up with the clock, so that clients do not wait longer for what is due; but after a long
// stop, each member is ticked once and not for every interval that has passed.
func (h *Heartbeats) Run(ctx context.Context) {
	step := h.interval / heartbeatSlots
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	var members []Member
	slot, due := 0, time.Now().Add(step)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if late := now.Add(-h.interval); due.Before(late) {
			due = late
		}
		for ; !due.After(now); due = due.Add(step) {
			members = h.tick(slot, now, members)
			slot = (slot + 1) % heartbeatSlots
		}
	}
}

// tick ticks the members of a slot. It uses the memory of members, and returns it.
func (h *Heartbeats) tick(slot int, now time.Time, members []Member) []Member {
	h.mu.Lock()
	for m := range h.slots[slot] {
		members = append(members, m)
	}
	h.mu.Unlock()
	for _, m := range members {
		h.Call(m, func() { m.Tick(now) })
	}
	clear(members)
	return members[:0]
}
