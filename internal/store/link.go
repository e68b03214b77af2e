package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is the connection by which one node of Redis notifies this process, for all who follow a portal of that node. It makes the
// connection anew whenever it is lost, or silent for Config.Silence, until its last listener leaves.
type link struct {
	links   *links         // immutable
	node    subscriber     // immutable
	end     func()         // immutable
	running sync.WaitGroup // of run; waited for by who lets the link go last
	wake    chan struct{}  // of capacity 1, never closed; immutable: there are orders

	holders int // guarded by links.mu

	mu     sync.Mutex
	topics map[string]*topic
	orders []order  // that have not been written yet, in their order
	asked  []string // topics of a cluster whose subscription was written and not answered, in their order
}

// topic is what a link knows of one topic. It is guarded by link.mu.
type topic struct {
	made      bool        // Redis has confirmed the subscription
	listeners []*listener // at least one
}

// order is a subscription to be made, or to be ended.
type order struct {
	topic string
	on    bool
}

// maxRelink bounds the wait before a lost connection is made again. It is short: everybody waits for this one connection.
const maxRelink = 500 * time.Millisecond

// maxTopics bounds the topics of one command.
const maxTopics = 256

var (
	errMoved  = errors.New("the topic is kept by another node now")
	errRemade = errors.New("the connection was made anew")
)

// add adds a listener to a topic. It receives made at once if the subscription exists already.
func (k *link) add(name string) *listener {
	n := &listener{link: k, topic: name, wake: make(chan struct{}, 1)}
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[name]
	if t == nil {
		t = &topic{}
		k.topics[name] = t
		k.orderLocked(order{topic: name, on: true})
	}
	t.listeners = append(t.listeners, n)
	if t.made {
		n.put(event{kind: made})
	}
	return n
}

// remove takes a listener's place away.
func (k *link) remove(n *listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[n.topic]
	if t == nil || !slices.Contains(t.listeners, n) {
		return // it was told gone
	}
	t.listeners = slices.DeleteFunc(t.listeners, func(other *listener) bool { return other == n })
	if len(t.listeners) == 0 {
		delete(k.topics, n.topic)
		k.orderLocked(order{topic: n.topic})
	}
}

// dropLocked tells all listeners of a topic that they must leave, and forgets it: who comes again begins anew. k.mu is held.
func (k *link) dropLocked(name string, err error) {
	if t := k.topics[name]; t != nil {
		t.tell(event{kind: gone, err: err})
		delete(k.topics, name)
	}
}

// orderLocked has an order written if there is a connection; a new one is asked for all topics anyway. k.mu is held.
func (k *link) orderLocked(o order) {
	k.orders = append(k.orders, o)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the link until ctx ends.
func (k *link) run(ctx context.Context) {
	backoff := minBackoff
	for {
		began := time.Now()
		err := k.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		k.lose(err)
		k.links.reload(ctx)
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		if pause(ctx, backoff) != nil {
			return
		}
		backoff = min(2*backoff, maxRelink)
	}
}

// pause waits for d, more or less, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d/2 + rand.N(d)):
		return nil
	}
}

// connect makes a connection, subscribes to all topics, and listens until something fails or ctx ends.
func (k *link) connect(ctx context.Context) (err error) {
	defer k.links.cfg.Panics.Recover("link", func() { err = errPanic })
	var writing sync.WaitGroup
	defer writing.Wait()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	pubsub := k.node.Subscribe(ctx)
	defer pubsub.Close()
	// A receive that blocks does not heed its context.
	stop := context.AfterFunc(ctx, func() { pubsub.Close() })
	defer stop()

	k.mu.Lock()
	k.orders, k.asked = k.orders[:0], nil
	for name := range k.topics {
		k.orderLocked(order{topic: name, on: true})
	}
	k.mu.Unlock()
	if err := k.write(ctx, pubsub); err != nil {
		return err
	}
	panicked := func() { fail(errPanic) }
	writing.Go(func() {
		defer k.links.cfg.Panics.Recover("link", panicked)
		fail(k.keep(ctx, pubsub))
	})
	writing.Go(func() {
		defer k.links.cfg.Panics.Recover("link", panicked)
		if err := k.canary(ctx); err != nil {
			fail(err)
		}
	})

	// A context that is over keeps go-redis from making a connection by itself, of which nobody here would know.
	over, cancel := context.WithCancel(ctx)
	cancel()
	for {
		// What is left of a message after a timeout would be read as the next one: every such error ends the connection.
		answer, err := pubsub.ReceiveTimeout(over, k.links.cfg.Silence)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			if k.refuse(err) {
				continue
			}
			return err
		}
		switch answer := answer.(type) {
		case *redis.Message:
			k.dispatch(answer.Channel, answer.Payload)
		case *redis.Subscription:
			k.subscribed(answer.Channel, answer.Kind == "subscribe" || answer.Kind == "ssubscribe")
		}
	}
}

// keep writes orders as they come, and keeps asking Redis for a sign of life, whose absence is for the receiver to see.
func (k *link) keep(ctx context.Context, pubsub *redis.PubSub) error {
	ticker := time.NewTicker(k.links.cfg.Ping)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			err = pubsub.Ping(ctx)
		case <-k.wake:
			err = k.write(ctx, pubsub)
		}
		if err != nil {
			return err
		}
	}
}

// write sends all orders.
func (k *link) write(ctx context.Context, pubsub *redis.PubSub) error {
	k.mu.Lock()
	orders := slices.Clone(k.orders)
	k.orders = k.orders[:0]
	k.mu.Unlock()
	most := maxTopics
	if k.links.sharded {
		most = 1 // topics of different slots do not go into one command
	}
	for len(orders) > 0 {
		on := orders[0].on
		var names []string
		for len(orders) > 0 && orders[0].on == on && len(names) < most {
			names = append(names, orders[0].topic)
			orders = orders[1:]
		}
		if err := k.send(ctx, pubsub, on, names); err != nil {
			return err
		}
	}
	return nil
}

func (k *link) send(ctx context.Context, pubsub *redis.PubSub, on bool, names []string) error {
	switch {
	case k.links.sharded && on:
		k.mu.Lock()
		k.asked = append(k.asked, names...)
		k.mu.Unlock()
		return pubsub.SSubscribe(ctx, names...)
	case k.links.sharded:
		return pubsub.SUnsubscribe(ctx, names...)
	case on:
		return pubsub.Subscribe(ctx, names...)
	default:
		return pubsub.Unsubscribe(ctx, names...)
	}
}

// dispatch hands a message on.
func (k *link) dispatch(name, payload string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.topics[name]; t != nil && t.made {
		t.tell(event{kind: message, payload: payload})
	}
}

func (t *topic) tell(e event) {
	for _, n := range t.listeners {
		n.put(e)
	}
}

// subscribed notes what Redis says of a subscription.
func (k *link) subscribed(name string, on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.Index(k.asked, name); on && i >= 0 {
		k.asked = slices.Delete(k.asked, i, i+1)
	}
	t := k.topics[name]
	switch {
	case t == nil:
	case on && t.made:
		t.tell(event{kind: lost, err: errRemade})
		t.tell(event{kind: made})
	case on:
		t.made = true
		t.tell(event{kind: made})
	case t.made:
		k.dropLocked(name, errMoved)
	default: // the end of an earlier subscription to the topic; that of the present one is still to come
	}
}

// refuse takes an error for the answer to a subscription of a cluster's topic, if it can be that, and reports whether the connection is
// as good as before.
func (k *link) refuse(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.asked) == 0 {
		// Nobody minds if a subscription cannot be ended because its slot has moved.
		return k.links.sharded && redis.HasErrorPrefix(err, "MOVED")
	}
	k.dropLocked(k.asked[0], err)
	k.asked = k.asked[1:]
	return true
}

// lose tells everybody that the connection has ended.
func (k *link) lose(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.topics {
		t.made = false
		t.tell(event{kind: lost, err: err})
	}
}

// subscriber is a client of one node.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// links are the connections by which Redis notifies this process, one for each node that somebody follows a portal of.
type links struct {
	rdb     redis.UniversalClient // immutable
	cfg     Config                // immutable, with defaults
	sharded bool                  // it is a cluster; immutable

	mu    sync.Mutex
	nodes map[subscriber]*link // those that have holders
}

func newLinks(rdb redis.UniversalClient, cfg Config) *links {
	_, cluster := rdb.(*redis.ClusterClient)
	return &links{rdb: rdb, cfg: cfg, sharded: cluster, nodes: make(map[subscriber]*link)}
}

// node gives the client of the node that keeps a topic.
func (ls *links) node(ctx context.Context, name string) (subscriber, error) {
	cluster, ok := ls.rdb.(*redis.ClusterClient)
	if !ok {
		return ls.rdb, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ls.cfg.Timeout)
	defer cancel()
	return cluster.MasterForKey(ctx, name)
}

// reload has a cluster asked again who keeps what.
func (ls *links) reload(ctx context.Context) {
	if cluster, ok := ls.rdb.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// listen makes a place to listen to a topic, which must be left.
func (ls *links) listen(ctx context.Context, name string) (*listener, error) {
	node, err := ls.node(ctx, name)
	if err != nil {
		ls.reload(ctx)
		return nil, err
	}
	ls.mu.Lock()
	k := ls.nodes[node]
	if k == nil {
		// The first who listens may leave before others.
		life, end := context.WithCancel(context.WithoutCancel(ctx))
		k = &link{links: ls, node: node, end: end, wake: make(chan struct{}, 1), topics: make(map[string]*topic)}
		ls.nodes[node] = k
		k.running.Go(func() { k.run(life) })
	}
	k.holders++
	ls.mu.Unlock()
	return k.add(name), nil
}

// leave gives up a place. The last to leave a link waits for its end.
func (ls *links) leave(n *listener) {
	k := n.link
	k.remove(n)
	ls.mu.Lock()
	k.holders--
	last := k.holders == 0
	if last {
		delete(ls.nodes, k.node)
	}
	ls.mu.Unlock()
	if last {
		k.end()
		k.running.Wait()
	}
}
