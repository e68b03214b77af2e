package edge

import (
	"slices"
	"sync"

	"pushgate/internal/channel"
)

// guest is a connection that has to make room for a newer one of the same user.
type guest interface{ makeRoom() }

// crowds bounds how many connections of one user this process holds. A user is known by a public id: the channels that many share
// have none. Its methods may be called concurrently.
type crowds struct {
	mu     sync.Mutex
	guests map[channel.ID][]guest // by public id, oldest first
}

func newCrowds() *crowds {
	return &crowds{guests: make(map[channel.ID][]guest)}
}

// enter lets g in, and tells the oldest ones of a crowd that is larger than limit to make room, each once. A limit of 0 is none.
func (c *crowds) enter(public channel.ID, limit int, g guest) {
	if public.IsZero() || limit == 0 {
		return
	}
	c.mu.Lock()
	all := append(c.guests[public], g)
	var oldest []guest
	if len(all) > limit { // by more than one if the limit has become lower
		oldest = slices.Clone(all[:len(all)-limit])
		all = slices.Delete(all, 0, len(oldest))
	}
	c.guests[public] = all
	c.mu.Unlock()
	for _, g := range oldest {
		g.makeRoom()
	}
}

// leave is called once for each that has entered.
func (c *crowds) leave(public channel.ID, g guest) {
	if public.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.guests[public]
	i := slices.Index(all, g)
	switch {
	case i < 0: // it has made room, or came when there was no limit
	case len(all) == 1:
		delete(c.guests, public)
	default:
		c.guests[public] = slices.Delete(all, i, i+1)
	}
}
