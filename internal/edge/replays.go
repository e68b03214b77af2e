package edge

import (
	"hash/maphash"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Bounds of the pace at which the same messages are replayed to the same client.
const (
	freeRepeats     = 8 << 20          // bytes that are repeated without a pause
	repeatRate      = 64 << 10         // bytes per second in the long run
	mostReplayPause = 30 * time.Second // of one page; a poll is held for longer
	replayOverhead  = 64               // bytes that a message counts beside its body
	replayMemory    = 5 * time.Minute  // how long a replay counts, at least: longer than any debt
	replaysKnown    = 16384            // clients that are remembered, at least

	// Debt above this is forgiven. Many connections at once can cause more, and it would delay a
	// user long after they have stopped.
	mostReplayDebt = freeRepeats + repeatRate*int(mostReplayPause/time.Second)
)

// replays slows clients that load the same messages again and again. A client is a list of channels
// and an address. Only messages that it has been replayed before count, so a first replay costs
// nothing, nor does a return with the last id: only loops, and very many reloads, are slowed. Its
// methods may be called concurrently.
type replays struct {
	seed maphash.Seed // immutable

	mu      sync.Mutex
	clients generations[replayed]
}

// replayed is what one client has been replayed.
type replayed struct {
	newest proto.ID  // messages up to here are repetitions
	debt   int       // bytes of repetitions, at the time of at; it falls by repeatRate
	at     time.Time // when debt was computed
}

func newReplays() *replays {
	return &replays{seed: maphash.MakeSeed(), clients: newGenerations[replayed](replaysKnown, replayMemory)}
}

// client returns the key of a client. The order of its channels does not matter.
func (r *replays) client(portal, address string, channels []channel.ID) uint64 {
	type client struct {
		portal, address string
		list            uint64
	}
	c := client{portal: portal, address: address}
	for _, id := range channels {
		c.list += maphash.Comparable(r.seed, id)
	}
	return maphash.Comparable(r.seed, c)
}

// replayMeter implements [hub.Meter] for one session of a client.
type replayMeter struct {
	edge   *Edge
	client uint64
}

// Pause implements [hub.Meter].
func (m replayMeter) Pause(after proto.ID) time.Duration {
	pause := m.edge.replays.pause(m.client, after, time.Now())
	if pause > 0 {
		m.edge.metrics.replaysPaused.Inc()
	}
	return pause
}

// Replayed implements [hub.Meter].
func (m replayMeter) Replayed(messages []*proto.Message) {
	m.edge.replays.charge(m.client, messages, time.Now())
}

// pause returns how long a client that has everything up to an id is to wait for the next page.
func (r *replays) pause(client uint64, after proto.ID, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients.get(client, now)
	excess := c.owes(now) - freeRepeats
	if excess <= 0 || !c.newest.After(after) {
		return 0
	}
	return min(time.Duration(excess)*time.Second/repeatRate, mostReplayPause)
}

// charge counts messages that a client is replayed.
func (r *replays) charge(client uint64, messages []*proto.Message, now time.Time) {
	if len(messages) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients.get(client, now)
	debt := c.owes(now)
	for _, m := range messages {
		if !m.ID.After(c.newest) {
			debt += m.Size() + replayOverhead
		}
	}
	c.debt, c.at = min(debt, mostReplayDebt), now
	if last := messages[len(messages)-1].ID; last.After(c.newest) {
		c.newest = last
	}
	r.clients.put(client, c)
}

// owes returns the debt at a time.
func (c replayed) owes(now time.Time) int {
	elapsed := min(now.Sub(c.at), replayMemory)
	return max(c.debt-int(elapsed*repeatRate/time.Second), 0)
}
