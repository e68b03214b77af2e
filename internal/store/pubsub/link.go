package pubsub

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is the connection to one node, for all listeners to topics of that node. Until its last
// listener is closed, it reconnects whenever the connection is lost, or silent for Config.Silence.
type link struct {
	subscriber *Subscriber    // immutable
	node       node           // immutable
	end        func()         // immutable
	running    sync.WaitGroup // of run; the last Close waits for it
	wake       chan struct{}  // of capacity 1, never closed; immutable: there are orders

	holders int // guarded by subscriber.mu

	mu     sync.Mutex
	topics map[string]*topic
	orders []order // not yet written, in order
	// Topics of a cluster whose subscription was written but not yet answered, in order.
	asked []string
}

// topic is the state of one topic of a link. link.mu guards it.
type topic struct {
	made      bool        // Redis has confirmed the subscription
	listeners []*Listener // at least one
}

// order is a subscription to make or to end.
type order struct {
	topic string
	on    bool
}

// Bounds of the wait before a reconnect. It is short because all listeners to the node wait for
// this one connection. It begins anew after a connection that lasted for longer than steady.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
	steady     = 2 * time.Second
)

// maxTopics bounds the topics of one command.
const maxTopics = 256

var (
	errMoved  = errors.New("the topic has moved to another node")
	errRemade = errors.New("reconnected")
	errPanic  = errors.New("the subscription panicked")
)

func newLink(s *Subscriber, on node, end func()) *link {
	return &link{subscriber: s, node: on, end: end, wake: make(chan struct{}, 1), topics: make(map[string]*topic)}
}

// add adds a listener to a topic. The listener gets Subscribed at once if the subscription
// exists already.
func (k *link) add(name string) *Listener {
	n := &Listener{link: k, topic: name, wake: make(chan struct{}, 1)}
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
		n.put(Event{Kind: Subscribed})
	}
	return n
}

// remove removes a listener.
func (k *link) remove(n *Listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[n.topic]
	if t == nil || !slices.Contains(t.listeners, n) {
		return // it has got Ended
	}
	t.listeners = slices.DeleteFunc(t.listeners, func(other *Listener) bool { return other == n })
	if len(t.listeners) == 0 {
		delete(k.topics, n.topic)
		k.orderLocked(order{topic: n.topic})
	}
}

// dropLocked sends Ended to all listeners of a topic and removes the topic: the next Listen makes a
// new subscription. k.mu is held.
func (k *link) dropLocked(name string, err error) {
	if t := k.topics[name]; t != nil {
		t.send(Event{Kind: Ended, Err: err})
		delete(k.topics, name)
	}
}

// orderLocked queues an order, which is written if there is a connection; a new connection
// subscribes to all topics anyway. k.mu is held.
func (k *link) orderLocked(o order) {
	k.orders = append(k.orders, o)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the link connected until ctx ends.
func (k *link) run(ctx context.Context) {
	backoff := minBackoff
	for {
		began := time.Now()
		err := k.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		k.lose(err)
		k.subscriber.reload(ctx)
		if time.Since(began) > steady {
			backoff = minBackoff
		}
		if Pause(ctx, backoff) != nil {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// Pause waits for a random time between d/2 and 3d/2 before another attempt. If ctx ends, it
// returns its error.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d/2 + rand.N(d)):
		return nil
	}
}

// connect makes a connection, subscribes to all topics, and listens until an error occurs or ctx
// ends.
func (k *link) connect(ctx context.Context) (err error) {
	defer k.subscriber.cfg.Panics.Recover("link", func() { err = errPanic })
	var writing sync.WaitGroup
	defer writing.Wait()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	conn := k.node.Subscribe(ctx)
	defer conn.Close()
	// A blocked receive ignores its context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	k.mu.Lock()
	k.orders, k.asked = k.orders[:0], nil
	for name := range k.topics {
		k.orderLocked(order{topic: name, on: true})
	}
	k.mu.Unlock()
	if err := k.write(ctx, conn); err != nil {
		return err
	}
	panicked := func() { fail(errPanic) }
	writing.Go(func() {
		defer k.subscriber.cfg.Panics.Recover("link", panicked)
		fail(k.keep(ctx, conn))
	})
	writing.Go(func() {
		defer k.subscriber.cfg.Panics.Recover("link", panicked)
		if err := k.canary(ctx); err != nil {
			fail(err)
		}
	})

	// With a cancelled context go-redis does not reconnect by itself, which would go unnoticed
	// here.
	over, cancel := context.WithCancel(ctx)
	cancel()
	for {
		// After a timeout the rest of a message would be read as the next one, so every such error
		// ends the connection.
		answer, err := conn.ReceiveTimeout(over, k.subscriber.cfg.Silence)
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

// keep writes orders as they come, and pings Redis; the receiver detects that no reply comes.
func (k *link) keep(ctx context.Context, conn *redis.PubSub) error {
	ticker := time.NewTicker(k.subscriber.cfg.Ping)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			err = conn.Ping(ctx)
		case <-k.wake:
			err = k.write(ctx, conn)
		}
		if err != nil {
			return err
		}
	}
}

// write sends all orders.
func (k *link) write(ctx context.Context, conn *redis.PubSub) error {
	k.mu.Lock()
	orders := slices.Clone(k.orders)
	k.orders = k.orders[:0]
	k.mu.Unlock()
	most := maxTopics
	if k.subscriber.sharded {
		most = 1 // one command cannot name topics of different slots
	}
	for len(orders) > 0 {
		on := orders[0].on
		var names []string
		for len(orders) > 0 && orders[0].on == on && len(names) < most {
			names = append(names, orders[0].topic)
			orders = orders[1:]
		}
		if err := k.send(ctx, conn, on, names); err != nil {
			return err
		}
	}
	return nil
}

func (k *link) send(ctx context.Context, conn *redis.PubSub, on bool, names []string) error {
	switch {
	case k.subscriber.sharded && on:
		k.mu.Lock()
		k.asked = append(k.asked, names...)
		k.mu.Unlock()
		return conn.SSubscribe(ctx, names...)
	case k.subscriber.sharded:
		return conn.SUnsubscribe(ctx, names...)
	case on:
		return conn.Subscribe(ctx, names...)
	default:
		return conn.Unsubscribe(ctx, names...)
	}
}

// dispatch sends a message to the listeners of its topic.
func (k *link) dispatch(name, payload string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.topics[name]; t != nil && t.made {
		t.send(Event{Kind: Message, Payload: payload})
	}
}

func (t *topic) send(e Event) {
	for _, n := range t.listeners {
		n.put(e)
	}
}

// subscribed handles the confirmation that a subscription was made or ended.
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
		t.send(Event{Kind: Lost, Err: errRemade})
		t.send(Event{Kind: Subscribed})
	case on:
		t.made = true
		t.send(Event{Kind: Subscribed})
	case t.made:
		k.dropLocked(name, errMoved)
	// The end of an earlier subscription to the topic; the present one is not confirmed yet.
	default:
	}
}

// refuse treats an error as the answer to a subscription to a cluster's topic, if it can be that,
// and reports whether the connection can still be used.
func (k *link) refuse(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.asked) == 0 {
		// It does no harm if a subscription cannot be ended because its slot has moved.
		return k.subscriber.sharded && redis.HasErrorPrefix(err, "MOVED")
	}
	k.dropLocked(k.asked[0], err)
	k.asked = k.asked[1:]
	return true
}

// lose sends Lost to all listeners: the connection has ended.
func (k *link) lose(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range k.topics {
		t.made = false
		t.send(Event{Kind: Lost, Err: err})
	}
}
