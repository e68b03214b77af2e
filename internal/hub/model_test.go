package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

var seeds = flag.Int("seeds", 300, "random schedules of the model test")

// TestDeliveryModel runs random schedules: publishers, a link to the log that lags and breaks, and clients that read slowly and
// come back with the last id that they saw. Whatever happens, each client must have had exactly the log of its channels, in
// order. The name of a failing sub-test is its seed, so that a failure can be run again.
func TestDeliveryModel(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newModel(t, uint64(seed)).run() })
		})
	}
}

const modelPage = 3 // messages on a page of the model's log

// model is a world of one portal: a log, the link over which it notifies a hub, and clients.
type model struct {
	t        *testing.T
	channels []channel.ID
	hub      *Hub

	mu       sync.Mutex
	rand     *rand.Rand       // guarded by mu
	log      []*proto.Message // all that was ever appended, transient messages too; guarded by mu
	up       bool             // the link; guarded by mu
	notified chan event       // what travels on the link
}

// event is a message, or a new subscription.
type event struct {
	message *proto.Message
	resync  bool
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t:        t,
		rand:     rand.New(rand.NewPCG(seed, 0)),
		notified: make(chan event, 10_000),
		up:       true,
	}
	for i := range 4 {
		m.channels = append(m.channels, channel.FromBytes([16]byte{byte(i + 1)}))
	}
	m.hub = New(m, Config{InboxMessages: 4, Replays: 2})
	m.hub.Resync(proto.ID{})
	return m
}

// n gives a random number below most.
func (m *model) n(most int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(most)
}

func (m *model) pause(most time.Duration) { time.Sleep(time.Duration(m.n(int(most)))) }

func (m *model) run() {
	ctx, stop := context.WithCancel(m.t.Context())
	var world, clients sync.WaitGroup
	world.Go(func() { m.dispatch(ctx) })
	done := make(chan struct{})
	all := make([]*client, 6)
	for i := range all {
		c := &client{model: m, channels: m.someChannels(), patience: time.Duration(1+m.n(300)) * time.Millisecond}
		all[i] = c
		clients.Go(func() { c.live(ctx, done) })
	}
	synctest.Wait() // every client has its first session
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(m.publish)
	}
	publishers.Go(m.breakLink)
	publishers.Wait()
	close(done)
	clients.Wait()
	stop()
	world.Wait()
	for i, c := range all {
		m.check(i, c)
	}
}

// publish appends messages to one, several or all channels, now and then in a burst.
func (m *model) publish() {
	for range 30 {
		burst := 1
		if m.n(6) == 0 {
			burst = 12 // larger than an inbox
		}
		for range burst {
			m.append(m.someChannels(), m.n(8) == 0)
		}
		m.pause(10 * time.Millisecond)
	}
}

// append is what the script does: id, log and notification in one step.
func (m *model) append(receivers []channel.ID, transient bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	message := &proto.Message{
		ID:        proto.ID{Epoch: 1, Sequence: uint64(len(m.log) + 1)},
		Receivers: receivers,
		TTL:       time.Hour,
		Received:  time.Now(),
	}
	if transient {
		message.TTL = 0
	}
	m.log = append(m.log, message)
	if m.up {
		m.notified <- event{message: message}
	}
}

// breakLink loses notifications for a while, some times.
func (m *model) breakLink() {
	for range 3 {
		m.pause(150 * time.Millisecond)
		m.mu.Lock()
		m.up = false
		m.mu.Unlock()
		m.pause(50 * time.Millisecond)
		m.mu.Lock()
		m.up = true
		m.notified <- event{resync: true}
		m.mu.Unlock()
	}
}

// dispatch is the one goroutine that tells the hub, with a lag.
func (m *model) dispatch(ctx context.Context) {
	for {
		select {
		case e := <-m.notified:
			if m.n(4) == 0 {
				m.pause(3 * time.Millisecond)
			}
			if e.resync {
				m.hub.Resync(m.head())
			} else {
				m.hub.Dispatch(e.message)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (m *model) head() proto.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.log) == 0 {
		return proto.ID{}
	}
	return m.log[len(m.log)-1].ID
}

// History is one snapshot, taken somewhere within the time that a read takes; some reads fail.
func (m *model) History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	m.pause(2 * time.Millisecond)
	if m.n(20) == 0 {
		return proto.Page{}, errors.New("the log is away")
	}
	page := m.snapshot(channels, after)
	m.pause(2 * time.Millisecond)
	return page, nil
}

func (m *model) snapshot(channels []channel.ID, after proto.ID) proto.Page {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page proto.Page
	for _, message := range m.log {
		page.Head = message.ID
		if !message.ID.After(after) || message.Transient() || message.Via(channels) < 0 {
			continue
		}
		if len(page.Messages) == modelPage {
			page.More = true
			continue
		}
		page.Messages = append(page.Messages, message)
	}
	page.Through = page.Head
	if page.More {
		page.Through = page.Messages[modelPage-1].ID
	}
	return page
}

func (m *model) someChannels() []channel.ID {
	var some []channel.ID
	for _, id := range m.channels {
		if m.n(2) == 0 {
			some = append(some, id)
		}
	}
	if len(some) == 0 {
		some = append(some, m.channels[m.n(len(m.channels))])
	}
	return some
}

// check holds what c had against the log.
func (m *model) check(i int, c *client) {
	times := make(map[proto.ID]int)
	var last proto.ID
	for _, message := range c.had {
		if message.Via(c.channels) < 0 {
			m.t.Errorf("client %d: had %d, which is of other channels", i, message.ID.Sequence)
		}
		if !message.ID.After(last) {
			m.t.Errorf("client %d: had %d after %d", i, message.ID.Sequence, last.Sequence)
		}
		times[message.ID]++
		last = message.ID
	}
	for _, message := range m.log {
		mine := message.Via(c.channels) >= 0
		if n := times[message.ID]; n > 1 || n == 0 && mine && !message.Transient() {
			m.t.Errorf("client %d: had %d %d times", i, message.ID.Sequence, n)
		}
	}
}

// client is a subscriber that comes back for ever with the last id that it saw.
type client struct {
	model    *model
	channels []channel.ID
	patience time.Duration // how long a connection of its lives at most
	last     *proto.ID
	had      []*proto.Message
}

// live connects again and again, and one last time when done is closed, to fetch the rest.
func (c *client) live(ctx context.Context, done <-chan struct{}) {
	for {
		select {
		case <-done:
			c.connect(ctx, 5*time.Second)
			return
		default:
		}
		if c.last == nil {
			// Without an id that it saw, a client begins anew: what is published while it is away is not its own.
			c.connect(ctx, time.Hour)
			continue
		}
		c.connect(ctx, time.Duration(1+c.model.n(int(c.patience))))
		c.model.pause(20 * time.Millisecond)
	}
}

// connect is one connection: a session and a reader that may be slow. It ends after its time, at a moment of its own, or, if
// the client had never seen an id, once it has.
func (c *client) connect(ctx context.Context, lifetime time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lifetime)
	defer cancel()
	fresh := c.last == nil
	wake := make(chan struct{}, 1)
	s := c.model.hub.Attach(c.channels, c.last, func() { wake <- struct{}{} })
	defer s.Detach()
	slow := c.model.n(3) == 0
	for {
		batch, err := s.Next(ctx)
		if err != nil {
			return
		}
		for _, m := range batch.Messages {
			c.had = append(c.had, m)
			c.last = &m.ID
		}
		if fresh && len(batch.Messages) > 0 {
			return
		}
		if len(batch.Messages) > 0 {
			if slow {
				c.model.pause(20 * time.Millisecond)
			}
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}
