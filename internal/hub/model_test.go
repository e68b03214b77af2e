package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

var seeds = flag.Int("seeds", manySchedules(), "random schedules of the model test")

// manySchedules returns how many schedules are tried: with the race detector, each takes a second
// of a processor, and races show in few of them.
func manySchedules() int {
	if testkit.Race {
		return 60
	}
	return 300
}

// TestDeliveryModel runs random schedules of publishers, clients and two hubs, with links to the
// log that lag and break. Clients read slowly and come back to either hub with the last id that
// they saw; some sessions move to the other hub without a new connection. In the end each client
// must have received exactly the log of its channels, in order. In every third schedule the log
// loses messages, sometimes all of them, and then begins a new epoch: each client must have got a
// gap for what it missed, and for nothing else. The name of a failing sub-test is its seed, so that
// a failure can be repeated.
func TestDeliveryModel(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newModel(t, uint64(seed)).run() })
		})
	}
}

const modelPage = 3 // messages on a page of the model's log

// model is a world of one portal: a log, edges, and clients.
type model struct {
	t        *testing.T
	channels []channel.ID
	edges    [2]*modelEdge

	mu       sync.Mutex
	rand     *rand.Rand       // guarded by mu
	log      []*proto.Message // all that was ever appended, transient messages too; guarded by mu
	position proto.ID         // the newest id, or where a new epoch begins; guarded by mu
	lossy    bool
	// The channels for which the log holds each of its messages; guarded by mu.
	held map[proto.ID]map[channel.ID]bool
}

// modelEdge is a hub, and the link over which the log notifies it.
type modelEdge struct {
	*Hub
	up       bool       // the link; guarded by the model's mu
	notified chan event // what travels on the link
}

// event is a message or a new subscription.
type event struct {
	message *proto.Message
	resync  bool
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t:        t,
		rand:     rand.New(rand.NewPCG(seed, 0)),
		position: proto.ID{Epoch: 1},
		lossy:    seed%3 == 2,
		held:     make(map[proto.ID]map[channel.ID]bool),
	}
	for i := range 4 {
		m.channels = append(m.channels, testkit.Channel(byte(i+1)))
	}
	for i := range m.edges {
		h := New(m, Config{InboxMessages: 4, Pace: NewPace(2, 3), GapInterval: 1})
		// The cache of recent messages is off, so that every return reads the log, or small, or
		// large.
		h.Remember([]int{0, 0, 5 * 640, 20 * 640}[seed%4])
		h.Resync(m.position)
		m.edges[i] = &modelEdge{Hub: h, up: true, notified: make(chan event, 10_000)}
	}
	return m
}

// n returns a random number below most.
func (m *model) n(most int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(most)
}

func (m *model) pause(most time.Duration) { time.Sleep(time.Duration(m.n(int(most)))) }

// dawdle pauses at random.
func (m *model) dawdle() {
	if m.n(4) == 0 {
		m.pause(2 * time.Millisecond)
	}
}

func (m *model) run() {
	ctx, stop := context.WithCancel(m.t.Context())
	var world, clients sync.WaitGroup
	for _, e := range m.edges {
		world.Go(func() { m.dispatch(ctx, e) })
	}
	done := make(chan struct{})
	all := make([]*client, 6)
	for i := range all {
		c := &client{model: m, channels: m.someChannels(), patience: time.Duration(1+m.n(300)) * time.Millisecond}
		if i%2 == 1 {
			c.channels = all[i-1].channels // another tab of the same user
		}
		all[i] = c
		clients.Go(func() { c.live(ctx, done) })
	}
	synctest.Wait() // every client has its first session
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(m.publish)
	}
	for _, e := range m.edges {
		publishers.Go(func() { m.breakLink(e) })
	}
	if m.lossy {
		publishers.Go(m.lose)
	}
	publishers.Wait()
	close(done)
	clients.Wait()
	stop()
	world.Wait()
	time.Sleep(time.Second) // what was asked for clients that have gone is answered all the same
	for i, c := range all {
		m.check(i, c)
	}
}

// publish appends messages to one, several or all channels, sometimes in a burst.
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

// append does what the script does: id, log and notification in one step.
func (m *model) append(receivers []channel.ID, transient bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position.Sequence++
	message := &proto.Message{
		ID:        m.position,
		Receivers: receivers,
		TTL:       time.Hour,
		Received:  time.Now(),
	}
	if transient {
		message.TTL = 0
	}
	m.log = append(m.log, message)
	if !transient {
		held := make(map[channel.ID]bool)
		for _, id := range receivers {
			held[id] = true
		}
		m.held[message.ID] = held
	}
	for _, e := range m.edges {
		if e.up {
			e.notified <- event{message: message}
		}
	}
}

// breakLink loses notifications for a while, several times.
func (m *model) breakLink(e *modelEdge) {
	for range 3 {
		m.pause(150 * time.Millisecond)
		m.mu.Lock()
		e.up = false
		m.mu.Unlock()
		m.pause(50 * time.Millisecond)
		m.mu.Lock()
		e.up = true
		e.notified <- event{resync: true}
		m.mu.Unlock()
	}
}

// lose trims channels, as a cap does. Sometimes it loses everything and begins an epoch, which
// breaks the links.
func (m *model) lose() {
	for range 12 {
		m.pause(60 * time.Millisecond)
		all, some, keep := m.n(4) == 0, m.someChannels(), m.n(4)
		m.mu.Lock()
		if all {
			clear(m.held)
			m.position = proto.ID{Epoch: m.position.Epoch + 1}
			for _, e := range m.edges {
				// With 0 the link stays: the log was emptied without a restart.
				if e.up && keep > 0 {
					e.notified <- event{resync: true}
				}
			}
		}
		for _, id := range some {
			left := keep
			for _, message := range slices.Backward(m.log) {
				if m.held[message.ID][id] {
					if left--; left < 0 {
						delete(m.held[message.ID], id)
					}
				}
			}
		}
		m.mu.Unlock()
	}
}

// isHeld reports whether the log has message for one of channels. m.mu is held.
func (m *model) isHeld(message *proto.Message, channels []channel.ID) bool {
	for _, id := range channels {
		if m.held[message.ID][id] {
			return true
		}
	}
	return false
}

// dispatch is the only goroutine that calls a hub's Dispatch and Resync, with a lag.
func (m *model) dispatch(ctx context.Context, to *modelEdge) {
	for {
		select {
		case e := <-to.notified:
			if m.n(4) == 0 {
				m.pause(3 * time.Millisecond)
			}
			if e.resync {
				to.Resync(m.head())
			} else {
				to.Dispatch(e.message)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (m *model) head() proto.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.position
}

// Histories returns a snapshot for each question, taken at a random moment of the read. Some reads
// fail.
func (m *model) Histories(_ context.Context, questions []proto.Question) []proto.Answer {
	answers := make([]proto.Answer, len(questions))
	for i, q := range questions {
		m.pause(2 * time.Millisecond)
		if m.n(20) == 0 {
			answers[i].Err = errors.New("the log is away")
			continue
		}
		answers[i].Page = m.snapshot(q.Channels, q.After)
	}
	m.pause(2 * time.Millisecond)
	return answers
}

func (m *model) snapshot(channels []channel.ID, after proto.ID) proto.Page {
	m.mu.Lock()
	defer m.mu.Unlock()
	page := proto.Page{Head: m.position}
	for _, message := range m.log {
		if !message.ID.After(after) || message.Transient() || message.Via(channels) < 0 {
			continue
		}
		if !m.isHeld(message, channels) {
			page.Lost = message.ID
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

// check compares what c received with the log.
func (m *model) check(i int, c *client) {
	times := make(map[proto.ID]int)
	var last proto.ID
	for _, gap := range c.gaps {
		if !slices.ContainsFunc(m.log, func(message *proto.Message) bool {
			return gap.covers(message.ID) && !message.Transient() && message.Via(c.channels) >= 0 && !m.isHeld(message, c.channels)
		}) {
			m.t.Errorf("client %d: got a gap from %v to %v, and nothing was lost", i, gap.After, gap.Before)
		}
	}
	for _, message := range c.had {
		if message.Via(c.channels) < 0 {
			m.t.Errorf("client %d: had %d, which is of other channels", i, message.ID.Sequence)
		}
		if !message.ID.After(last) {
			m.t.Errorf("client %d: had %v after %v", i, message.ID, last)
		}
		times[message.ID]++
		last = message.ID
	}
	for _, message := range m.log {
		mine := message.Via(c.channels) >= 0
		reported := slices.ContainsFunc(c.gaps, func(gap modelGap) bool { return gap.covers(message.ID) && !m.isHeld(message, c.channels) })
		if n := times[message.ID]; n > 1 || n == 0 && mine && !message.Transient() && !reported {
			m.t.Errorf("client %d: had %v %d times", i, message.ID, n)
		}
	}
}
