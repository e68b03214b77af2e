package store

import (
	"context"
	"errors"
	"sync"
)

// maxBacklog bounds, in bytes, the events that wait for one follower. Beyond it only this follower
// is told that it missed something, and its readers read the log.
const maxBacklog = 8 << 20

// eventOverhead is what an event counts in bytes, beside its payload.
const eventOverhead = 64

var errSlow = errors.New("the follower is too slow: too many notifications wait for it")

// event is what a link sends to a listener.
type event struct {
	kind    eventKind
	payload string // of message
	err     error  // of lost and gone
}

type eventKind int

const (
	message eventKind = iota
	// Redis has confirmed the subscription: everything published from now on arrives
	made
	lost // the connection has ended; the link makes another, then sends made
	gone // nothing follows: the listener must leave
)

// listener queues the events of a link for one follower.
type listener struct {
	link  *link         // immutable
	topic string        // immutable
	wake  chan struct{} // of capacity 1, never closed; immutable

	mu     sync.Mutex
	events []event
	bytes  int  // of events
	gone   bool // the last event is gone; no event follows it
}

// put queues an event. It does not block.
func (n *listener) put(e event) {
	n.mu.Lock()
	if n.gone {
		n.mu.Unlock()
		return
	}
	n.bytes += len(e.payload) + eventOverhead
	if n.bytes > maxBacklog {
		clear(n.events)
		n.events, e = n.events[:0], event{kind: gone, err: errSlow}
	}
	n.events = append(n.events, e)
	n.gone = e.kind == gone
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take waits for events and returns all there are. It reuses before, the slice that it returned
// last.
func (n *listener) take(ctx context.Context, before []event) ([]event, error) {
	clear(before)
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.wake:
		}
		if events := n.grab(before); len(events) > 0 {
			return events, nil
		}
	}
}

// grab is take without the wait: there may be no events.
func (n *listener) grab(before []event) []event {
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.events
	if len(events) > 0 {
		n.events, n.bytes = before[:0], 0
	}
	return events
}
