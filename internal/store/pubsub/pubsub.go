// Package pubsub subscribes to topics of Redis over one connection to each node, for all listeners
// of the process.
//
// link.mu may be held when Listener.mu is taken. No other lock is held while another one is taken,
// and none while Redis is asked.
package pubsub

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/contain"
)

// Config says how connections are watched. All durations must be positive.
type Config struct {
	Timeout time.Duration // within which the node of a topic is found, and a probe published
	Ping    time.Duration // between two pings of a connection
	Silence time.Duration // after which a silent connection is taken for dead; more than Ping
	// Between two probes, which are published like all messages and must come back over the
	// connection.
	Canary time.Duration

	// Heard is called with the time that each probe took to come back. It may be called
	// concurrently. May be nil.
	Heard func(took time.Duration)
	// Panics receives the panics in the work for a connection, which then reconnects. Nil: no panic
	// is recovered.
	Panics contain.Report
}

// node is a client of one node of Redis.
type node interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// Subscriber makes the subscriptions of a process. It has a connection to each node with a topic
// that is listened to, and reconnects by itself. Its methods may be called concurrently.
type Subscriber struct {
	rdb     redis.UniversalClient // immutable
	cfg     Config                // immutable
	sharded bool                  // immutable: it is a cluster

	mu    sync.Mutex
	links map[node]*link // those that have listeners
}

// New returns a subscriber that makes its connections with a client, and finds the nodes of a
// cluster by it. The caller owns the client and closes it after the last listener.
func New(rdb redis.UniversalClient, cfg Config) *Subscriber {
	_, cluster := rdb.(*redis.ClusterClient)
	return &Subscriber{rdb: rdb, cfg: cfg, sharded: cluster, links: make(map[node]*link)}
}

// Sharded reports whether messages must be published with SPUBLISH, as on a cluster, where PUBLISH
// would go to every node; else it is PUBLISH.
func (s *Subscriber) Sharded() bool { return s.sharded }

// node returns the client of the node that keeps a topic.
func (s *Subscriber) node(ctx context.Context, name string) (node, error) {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return s.rdb, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return cluster.MasterForKey(ctx, name)
}

// reload asks a cluster again which node keeps which slots.
func (s *Subscriber) reload(ctx context.Context) {
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// Listen returns a new listener to a topic, which the caller must Close; its first event is
// Subscribed, Lost or Ended. The name of a topic must have a part in braces, which decides where a
// cluster keeps it. The end of ctx does not end the listener. The only error is that a cluster does
// not say within Config.Timeout which node keeps the topic.
func (s *Subscriber) Listen(ctx context.Context, topic string) (*Listener, error) {
	on, err := s.node(ctx, topic)
	if err != nil {
		s.reload(ctx)
		return nil, fmt.Errorf("find the node of %s: %w", topic, err)
	}
	s.mu.Lock()
	k := s.links[on]
	if k == nil {
		// The first listener may leave before the others.
		life, end := context.WithCancel(context.WithoutCancel(ctx))
		k = newLink(s, on, end)
		s.links[on] = k
		k.running.Go(func() { k.run(life) })
	}
	k.holders++
	s.mu.Unlock()
	return k.add(topic), nil
}

// leave removes a listener. The last to leave a link ends it and waits for its end.
func (s *Subscriber) leave(n *Listener) {
	k := n.link
	k.remove(n)
	s.mu.Lock()
	k.holders--
	last := k.holders == 0
	if last {
		delete(s.links, k.node)
	}
	s.mu.Unlock()
	if last {
		k.end()
		k.running.Wait()
	}
}
