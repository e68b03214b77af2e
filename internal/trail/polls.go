package trail

import (
	"container/list"
	"slices"
	"sync"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

const (
	// pollRest is how long a client may take to its next poll, in microseconds, for both to count
	// as one session.
	pollRest = 60_000_000
	// mostClients bounds the clients on long polls that are remembered as such.
	mostClients = 1 << 16
)

// polls are the clients on long polls. The polls of one client, with the same channels and one
// after the other, are one session.
type polls struct {
	mu      sync.Mutex
	clients map[pollKey]*pollClient
	ended   list.List // of *pollClient that are between two polls, the longest first
}

type pollKey struct {
	portal   string
	channels Mark // of all of them together
}

// pollClient is a client on long polls. The lock of polls guards it.
type pollClient struct {
	key  pollKey
	past Past
	rest *list.Element // nil while a poll is held
}

// begin returns the client of a poll: one that is between two polls, and whose channels and
// position are the same, or a new one.
func (p *polls) begin(e *Edge, portal string, channels []channel.ID, cursor *proto.ID, now int64) *pollClient {
	key := pollKey{portal: portal}
	for _, id := range channels {
		key.channels = key.channels*31 + MarkOf(id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(e, now)
	c := p.clients[key]
	if c != nil && c.rest != nil && cursor != nil && !cursor.After(c.past.Sent) && !c.past.From.After(*cursor) {
		p.ended.Remove(c.rest)
		c.rest = nil
		return c
	}
	if c != nil && c.rest != nil {
		p.forget(e, c)
	}
	c = &pollClient{key: key, past: Past{Number: e.numbers.Add(1), Portal: portal, Channels: MarksOf(channels), Began: now, Brought: cursor != nil}}
	if p.clients[key] == nil {
		p.clients[key] = c
	}
	return c
}

// end records the end of a poll.
func (p *polls) end(e *Edge, c *pollClient, now Past) {
	p.mu.Lock()
	defer p.mu.Unlock()
	past := &c.past
	// Its position was not trusted, and it began anew.
	if past.Polls > 0 && past.From.After(now.From) {
		e.append(*past)
		past.Polls = 0
	}
	if past.Polls == 0 {
		past.From = now.From
	}
	past.Polls++
	past.Kind, past.Ended, past.Reason = now.Kind, now.Ended, now.Reason
	// Else the client has not got the last answer.
	if past.Polls == 1 || now.Sent.After(past.Sent) {
		past.Sent = now.Sent
	}
	past.Returned = now.Returned
	if past.Sent.After(past.Returned) {
		past.Returned = past.Sent
	}
	if p.clients[c.key] != c { // another one with the same channels polled meanwhile
		e.append(*past)
		return
	}
	c.rest = p.ended.PushBack(c)
	p.sweep(e, now.Ended)
}

// sweep makes ended sessions of the clients that have not come back. p.mu is held.
func (p *polls) sweep(e *Edge, now int64) {
	for front := p.ended.Front(); front != nil; front = p.ended.Front() {
		c := front.Value.(*pollClient)
		if now-c.past.Ended < pollRest && p.ended.Len() <= mostClients {
			return
		}
		p.forget(e, c)
	}
}

// forget makes an ended session of a client. p.mu is held.
func (p *polls) forget(e *Edge, c *pollClient) {
	p.ended.Remove(c.rest)
	delete(p.clients, c.key)
	e.append(c.past)
}

// resting returns the clients that are between two polls.
func (p *polls) resting(watches func(Mark) bool) (found []Past) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		if c.rest != nil && slices.ContainsFunc(c.past.Channels, watches) {
			found = append(found, c.past)
		}
	}
	return found
}

// Before returns what the polls of the same client were before the one of s, and false for the
// first one, or for another transport.
func (e *Edge) Before(s Session) (Past, bool) {
	if e == nil || s.poll == nil {
		return Past{}, false
	}
	e.polls.mu.Lock()
	defer e.polls.mu.Unlock()
	return s.poll.past, s.poll.past.Polls > 0
}
