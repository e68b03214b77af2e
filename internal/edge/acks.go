package edge

import (
	"sync"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// acknowledge notes that the client has processed a message. Clients acknowledge in order; a
// repeated or older id changes nothing.
func (s *subscriber) acknowledge(text string) {
	id, err := proto.ParseID(text)
	if err != nil || !s.calls.acknowledge(id) {
		return
	}
	s.step(trail.Step{What: trail.StepAcked, ID: id})
	s.edge.metrics.acks.Inc()
	if created, ok := s.tenant.published.created(id); ok {
		s.edge.metrics.publishToAck.Observe(time.Since(created).Seconds())
	}
}

// acknowledge notes an id and the time, and reports false if one that is not older was noted
// before.
func (c *calls) acknowledge(id proto.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !id.After(c.acked) {
		return false
	}
	c.acked, c.ackedAt = id, time.Now().UnixMicro()
	return true
}

// publishTimes remembers for a while when messages were published, until clients acknowledge them.
// It forgets the older half when the younger one is full. Its methods may be called concurrently.
type publishTimes struct {
	mu         sync.Mutex
	young, old map[proto.ID]time.Time
}

// rememberedMessages is how many messages are remembered, at least.
const rememberedMessages = 4096

// note remembers messages that have just been sent. Those of a replay are too old to be measured.
func (p *publishTimes) note(batch []*proto.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range batch {
		if time.Since(m.Received) > time.Minute {
			continue
		}
		if _, ok := p.young[m.ID]; ok {
			continue
		}
		if p.young == nil || len(p.young) >= rememberedMessages {
			p.old, p.young = p.young, make(map[proto.ID]time.Time)
		}
		p.young[m.ID] = m.Created
	}
}

// created returns when a message was published, if it is remembered.
func (p *publishTimes) created(id proto.ID) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.young[id]; ok {
		return at, true
	}
	at, ok := p.old[id]
	return at, ok
}
