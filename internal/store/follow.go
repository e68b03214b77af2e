package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/proto"
)

// Bounds of the wait before a follower who had to leave its link comes again.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// Follow tells f of every message that is appended from now on, until ctx ends, and returns its error. f is called from here and
// from nowhere else. Whenever the link to Redis is lost, or has been silent for Config.Silence, or f was too slow, or an id comes that is older
// than one before it, f is told Down, and Resync once there is a new subscription. Dispatched ids rise, and are after
// the id of the last Resync.
//
// All who follow portals that one server of Redis keeps share one connection to it. They do not wait for one another.
func (l *Log) Follow(ctx context.Context, f proto.Follower) error {
	s := subscription{log: l, follower: f}
	backoff := minBackoff
	for {
		began := time.Now()
		err := s.run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.lost(err)
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		if err := pause(ctx, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// subscription is the state of one Follow. It belongs to the goroutine that follows.
type subscription struct {
	log      *Log
	follower proto.Follower

	newest     proto.ID // that the follower was told of, by Dispatch or Resync
	dispatched bool     // since the last Resync
	down       bool     // the follower was told Down, and not yet Resync
	failed     error    // why nothing may be dispatched before the next Resync; nil if all is well
}

// run listens until something fails that the link does not put right by itself, or ctx ends.
func (s *subscription) run(ctx context.Context) (err error) {
	defer s.log.cfg.Panics.Recover("follow", func() { err = errPanic })
	s.failed = nil
	place, err := s.log.links.listen(ctx, s.log.topic)
	if err != nil {
		return fmt.Errorf("find who keeps %s: %w", s.log.topic, err)
	}
	defer s.log.links.leave(place)
	var events []event
	for {
		if events, err = place.take(ctx, events); err != nil {
			return err
		}
		for _, e := range events {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.hear(ctx, place, e); err != nil {
				return fmt.Errorf("listen to %s: %w", s.log.topic, err)
			}
		}
	}
}

// hear acts upon one event. An error means that the place is to be left.
func (s *subscription) hear(ctx context.Context, place *listener, e event) error {
	if s.failed != nil {
		return s.failed
	}
	switch e.kind {
	case message:
		return s.dispatch(ctx, e.payload)
	case made:
		return s.resync(ctx)
	case lost:
		s.lost(fmt.Errorf("listen to %s: %w", s.log.topic, e.err))
		// A cluster may have given the portal to another node.
		if node, err := s.log.links.node(ctx, s.log.topic); err != nil || node != place.link.node {
			return errMoved
		}
		return nil
	default:
		s.log.links.reload(ctx)
		return e.err
	}
}

// lost tells the follower, who may know, that nothing comes.
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
	s.settle(head)
	return nil
}

func (s *subscription) settle(head proto.ID) {
	s.newest, s.dispatched, s.down = head, false, false
	s.follower.Resync(head)
}

// cross goes over into a new epoch, by its first id. What was heard of the one before may have been lost with it: that is for the log
// to say, to everybody, and it may take yet another epoch to do so.
func (s *subscription) cross(ctx context.Context, first proto.ID) error {
	s.lost(errEpoch)
	head, err := s.log.Head(ctx, s.newest)
	if err != nil {
		return err
	}
	if before, ok := first.Previous(); ok && head.Epoch == first.Epoch {
		head = before
	}
	s.settle(head)
	return nil
}

var (
	errOrder = errors.New("ids went back: Redis lost data, or was replaced by another")
	errHole  = errors.New("an id is missing: Redis has notified, and it did not come")
	errPanic = errors.New("what came was not dispatched because of a panic")
	errEpoch = errors.New("ids have begun anew: Redis was replaced by another, or restarted")
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
		return nil // appended between the subscription and the question for the head, which covers it
	}
	if !follows(id, s.newest) {
		// A node of a cluster that has become a replica passes on what the new master publishes, and may lose some of it, without a word.
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
		s.log.cfg.Damaged(id, err) // to read the log would not bring it either
		return nil
	}
	s.dispatched = true
	return s.hand(m)
}

// hand hands a message to the follower. After a panic it may have reached some readers and not others, so a Resync must come next:
// then all read the log.
func (s *subscription) hand(m *proto.Message) (err error) {
	defer s.log.cfg.Panics.Recover("dispatch", func() {
		s.failed = errPanic
		err = errPanic
	})
	s.follower.Dispatch(m)
	return nil
}

// follows reports whether id was given next after another: it is the next one of its epoch, or the first one.
func follows(id, before proto.ID) bool {
	previous, ok := id.Previous()
	return ok && (previous == before || previous.Sequence == 0)
}
