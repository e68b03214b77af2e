package pubsub

import (
	"context"
	"errors"
	"sync"
)

// maxBacklog bounds, in bytes, the events that wait for one listener. Beyond it only this listener
// ends.
const maxBacklog = 8 << 20

// eventOverhead is what an event counts in bytes, beside its payload.
const eventOverhead = 64

var errSlow = errors.New("the follower is too slow: too many notifications wait for it")

// Event is what happened to the topic of a [Listener].
type Event struct {
	Kind    Kind
	Payload string // of Message
	Err     error  // of Lost and Ended, never nil there: why
}

// Kind says what an [Event] is.
type Kind int

// The kinds of events. A listener gets Message only between Subscribed and the next Lost or Ended.
const (
	Message Kind = iota
	// Redis has confirmed the subscription: everything published from now on arrives, until Lost or
	// Ended.
	Subscribed
	Lost  // the connection has ended; the next event is Subscribed, once there is another, or Ended
	Ended // no event follows: the caller must Close the listener
)

// Listener queues the Events of one topic for one caller, which must call Close. One goroutine at a
// time may use it.
type Listener struct {
	link  *link         // immutable
	topic string        // immutable
	wake  chan struct{} // of capacity 1, never closed; immutable

	mu     sync.Mutex
	events []Event
	bytes  int  // of events
	ended  bool // the last event is Ended; no event follows it
}

// put queues an event. It does not block.
func (n *Listener) put(e Event) {
	n.mu.Lock()
	if n.ended {
		n.mu.Unlock()
		return
	}
	n.bytes += len(e.Payload) + eventOverhead
	if n.bytes > maxBacklog {
		clear(n.events)
		n.events, e = n.events[:0], Event{Kind: Ended, Err: errSlow}
	}
	n.events = append(n.events, e)
	n.ended = e.Kind == Ended
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Next waits for events and returns all there are, in order and at least one. It overwrites before,
// which is nil or the slice that it returned last. If ctx ends first, it returns the error of ctx.
func (n *Listener) Next(ctx context.Context, before []Event) ([]Event, error) {
	clear(before)
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.wake:
		}
		if events := n.grab(before); len(events) > 0 {
			if events[len(events)-1].Kind == Ended {
				n.link.subscriber.reload(ctx) // the next Listen may find it at another node
			}
			return events, nil
		}
	}
}

// grab is Next without the wait: there may be no events.
func (n *Listener) grab(before []Event) []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.events
	if len(events) > 0 {
		n.events, n.bytes = before[:0], 0
	}
	return events
}

// Moved reports whether a cluster keeps the topic on another node than the listener's, or does not
// say where. After Lost, the caller should ask: if the topic has moved, it must Close the listener
// and Listen again. Moved may take up to Config.Timeout, or until ctx ends.
func (n *Listener) Moved(ctx context.Context) bool {
	node, err := n.link.subscriber.node(ctx, n.topic)
	return err != nil || node != n.link.node
}

// Close ends the listener. If it was the last one to its node, Close closes the connection and
// waits until nothing uses it any more. It must be called once.
func (n *Listener) Close() { n.link.subscriber.leave(n) }
