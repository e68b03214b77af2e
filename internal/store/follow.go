package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store/pubsub"
)

// Bounds of the wait before a follower whose subscription has ended subscribes again.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// Follow calls f for every message that is appended from now on, until ctx ends, and returns the
// error of ctx. Only the goroutine of Follow calls f. If the connection to Redis is lost or silent
// for Config.Silence, if f was too slow, or if an id is older than one before it, Follow calls
// f.Down, and f.Resync once there is a new subscription. Dispatched ids rise, and are after the id
// of the last Resync.
//
// All followers of portals on one Redis server share one connection to it. They do not wait for one
// another.
func (l *Log) Follow(ctx context.Context, f proto.Follower) error {
	s := subscription{log: l, follower: f}
	return again(ctx, s.run, s.lost)
}

// again calls run until ctx ends, with a growing pause after each call, and lost with the error of
// each.
func again(ctx context.Context, run func(context.Context) error, lost func(error)) error {
	backoff := minBackoff
	for {
		began := time.Now()
		err := run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		lost(err)
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		if err := pubsub.Pause(ctx, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// subscription is the state of one Follow. The goroutine of Follow owns it.
type subscription struct {
	log      *Log
	follower proto.Follower

	newest     proto.ID // newest id that the follower got, by Dispatch or Resync
	dispatched bool     // a message was dispatched since the last Resync
	down       bool     // Down was called, and not yet Resync
	failed     error    // why nothing may be dispatched before the next Resync; nil if it may
}

// run follows until ctx ends or an error occurs after which a new subscription must be made.
func (s *subscription) run(ctx context.Context) (err error) {
	defer s.log.cfg.Panics.Recover("follow", func() { err = errPanic })
	s.failed = nil
	lis, err := s.log.subscriber.Listen(ctx, s.log.topic)
	if err != nil {
		return err
	}
	defer lis.Close()
	var events []pubsub.Event
	for {
		if events, err = lis.Next(ctx, events); err != nil {
			return err
		}
		for _, e := range events {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.handle(ctx, lis, e); err != nil {
				return fmt.Errorf("listen to %s: %w", s.log.topic, err)
			}
		}
	}
}

// handle handles one event. After an error the caller must close the listener.
func (s *subscription) handle(ctx context.Context, lis *pubsub.Listener, e pubsub.Event) error {
	if s.failed != nil {
		return s.failed
	}
	switch e.Kind {
	case pubsub.Message:
		return s.dispatch(ctx, e.Payload)
	case pubsub.Subscribed:
		return s.resync(ctx)
	case pubsub.Lost:
		s.lost(fmt.Errorf("listen to %s: %w", s.log.topic, e.Err))
		if lis.Moved(ctx) {
			return errMoved
		}
		return nil
	default:
		return e.Err
	}
}

// lost calls Down, unless the follower is down already.
func (s *subscription) lost(err error) {
	if !s.down {
		s.down = true
		s.follower.Down(err)
	}
}

func (s *subscription) resync(ctx context.Context) error {
	head, err := s.log.Head(ctx, s.newest)
	if err != nil {
		return err
	}
	s.announce(head)
	return nil
}

func (s *subscription) announce(head proto.ID) {
	s.newest, s.dispatched, s.down = head, false, false
	s.follower.Resync(head)
}

// cross enters a new epoch, by its first id. Messages of the epoch before may have been lost with
// it. Head lets the log decide that for all readers; the log may open yet another epoch for it.
func (s *subscription) cross(ctx context.Context, first proto.ID) error {
	s.lost(errEpoch)
	head, err := s.log.Head(ctx, s.newest)
	if err != nil {
		return err
	}
	if before, ok := first.Previous(); ok && head.Epoch == first.Epoch {
		head = before
	}
	s.announce(head)
	return nil
}

var (
	errOrder = errors.New("ids went back: Redis lost data or was replaced by another server")
	errHole  = errors.New("an id is missing: a notification of Redis was lost")
	errMoved = errors.New("the portal has moved to another node")
	errPanic = errors.New("dispatch panicked")
	errEpoch = errors.New("ids have begun anew: Redis was restarted or replaced by another server")
)

func (s *subscription) dispatch(ctx context.Context, payload string) error {
	if len(payload) < proto.IDLen {
		s.log.cfg.Damaged(proto.ID{}, proto.ErrID)
		return nil
	}
	id, err := proto.ParseID(payload[:proto.IDLen])
	if err != nil {
		s.log.cfg.Damaged(proto.ID{}, err)
		return nil
	}
	if !id.After(s.newest) {
		if s.dispatched || id.Epoch < s.newest.Epoch {
			return errOrder
		}
		// Appended between the subscription and the query for the head, which covers it.
		return nil
	}
	if !follows(id, s.newest) {
		// A cluster node that has become a replica forwards what the new master publishes, and may
		// lose some of it silently.
		s.lost(errHole)
		return s.resync(ctx)
	}
	if id.Epoch != s.newest.Epoch && !s.newest.IsZero() {
		if err := s.cross(ctx, id); err != nil || id.Epoch != s.newest.Epoch {
			return err
		}
	}
	s.newest = id
	s.log.learn(id)
	m, err := proto.DecodeRecord(id, []byte(payload[proto.IDLen:]))
	if err != nil {
		s.log.cfg.Damaged(id, err) // reading the log would not bring it, either
		return nil
	}
	s.dispatched = true
	return s.deliver(m)
}

// deliver dispatches a message to the follower. After a panic it may have reached some readers and
// not others, so a Resync must come next, after which all read the log.
func (s *subscription) deliver(m *proto.Message) (err error) {
	defer s.log.cfg.Panics.Recover("dispatch", func() {
		s.failed = errPanic
		err = errPanic
	})
	s.follower.Dispatch(m)
	return nil
}

// follows reports whether id is the next one after before: the next of its epoch, or the first of a
// new one.
func follows(id, before proto.ID) bool {
	previous, ok := id.Previous()
	return ok && (previous == before || previous.Sequence == 0)
}
