package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
)

// Bounds of the wait before a lost subscription is made again.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// Follow tells f of every message that is appended from now on, until ctx ends, and returns its error. f is called from here and
// from nowhere else. Whenever the link to Redis is lost, or has been silent for Config.Silence, or an id comes that is older
// than one before it, f is told Down, and Resync once there is a new subscription. Dispatched ids rise, and are after
// the id of the last Resync.
func (l *Log) Follow(ctx context.Context, f proto.Follower) error {
	s := subscription{log: l, follower: f}
	backoff := minBackoff
	for {
		began := time.Now()
		err := s.run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !s.down {
			s.down = true
			f.Down(err)
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff/2 + rand.N(backoff)):
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
}

// run subscribes and listens until something fails or ctx ends.
func (s *subscription) run(ctx context.Context) error {
	pubsub := s.log.rdb.Subscribe(ctx)
	defer pubsub.Close()
	// A receive that blocks does not heed its context.
	stop := context.AfterFunc(ctx, func() { pubsub.Close() })
	defer stop()
	if err := pubsub.Subscribe(ctx, s.log.topic); err != nil {
		return fmt.Errorf("subscribe to %s: %w", s.log.topic, err)
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	pings, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { s.log.ping(pings, pubsub) })

	for {
		// What is left of a message after a timeout would be read as the next one: every error ends the subscription.
		event, err := pubsub.ReceiveTimeout(ctx, s.log.cfg.Silence)
		if err != nil {
			return fmt.Errorf("listen to %s: %w", s.log.topic, err)
		}
		switch event := event.(type) {
		case *redis.Subscription:
			err = s.resync(ctx)
		case *redis.Message:
			err = s.dispatch(event.Payload)
		}
		if err != nil {
			return err
		}
	}
}

// ping keeps asking Redis for a sign of life until ctx ends; the answers, or their absence, are for the receiver to see.
func (l *Log) ping(ctx context.Context, pubsub *redis.PubSub) {
	ticker := time.NewTicker(l.cfg.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = pubsub.Ping(ctx)
		}
	}
}

func (s *subscription) resync(ctx context.Context) error {
	head, err := s.log.Head(ctx, s.newest)
	if err != nil {
		return err
	}
	s.newest, s.dispatched, s.down = head, false, false
	s.follower.Resync(head)
	return nil
}

var errOrder = errors.New("ids went back: Redis lost data, or was replaced by another")

func (s *subscription) dispatch(payload string) error {
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
	s.newest = id
	m, err := proto.DecodeRecord(id, []byte(payload[proto.IDLen:]))
	if err != nil {
		s.log.cfg.Damaged(id, err) // to read the log would not bring it either
		return nil
	}
	s.dispatched = true
	s.follower.Dispatch(m)
	return nil
}
