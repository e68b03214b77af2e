package store

import (
	"context"
	"errors"
	"sync"
)

// maxBacklog bounds, in bytes, what waits for one follower. Beyond it the log is the better place to wait in: the follower is told
// that it missed something, and nobody else is.
const maxBacklog = 8 << 20

// eventOverhead is what an event counts beside its payload.
const eventOverhead = 64

var errSlow = errors.New("notifications came faster than they were taken")

// event is what a link tells a listener.
type event struct {
	kind    eventKind
	payload string // of message
	err     error  // of lost and gone
}

type eventKind int

const (
	message eventKind = iota
	made              // Redis has confirmed the subscription: all that is published from now on comes
	lost              // the connection has ended; the link makes another, and then says made
	gone              // nothing comes any more: the listener must leave
)

// listener is the place where one follower waits for what comes over a link.
type listener struct {
	link  *link         // immutable
	topic string        // immutable
	wake  chan struct{} // of capacity 1, never closed; immutable

	mu     sync.Mutex
	events []event
	bytes  int  // of events
	gone   bool // the last event is gone, and stays the last
}

// put tells n of an event. It does not block.
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

// take waits for events and returns all there are. It reuses the slice that it returned before.
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

// grab is take, but that it does not wait: there may be no events.
func (n *listener) grab(before []event) []event {
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.events
	if len(events) > 0 {
		n.events, n.bytes = before[:0], 0
	}
	return events
}
