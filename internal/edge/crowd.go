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
	limit int // 0: none; immutable

	mu     sync.Mutex
	guests map[channel.ID][]guest // by public id, oldest first
}

func newCrowds(limit int) *crowds {
	return &crowds{limit: limit, guests: make(map[channel.ID][]guest)}
}

// enter lets g in, and tells the oldest of a crowd that has become too large to make room. It is told once.
func (c *crowds) enter(public channel.ID, g guest) {
	if public.IsZero() || c.limit == 0 {
		return
	}
	c.mu.Lock()
	all := append(c.guests[public], g)
	var oldest guest
	if len(all) > c.limit {
		oldest = all[0]
		all = slices.Delete(all, 0, 1)
	}
	c.guests[public] = all
	c.mu.Unlock()
	if oldest != nil {
		oldest.makeRoom()
	}
}

// leave is called once for each that has entered.
func (c *crowds) leave(public channel.ID, g guest) {
	if public.IsZero() || c.limit == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.guests[public]
	i := slices.Index(all, g)
	switch {
	case i < 0: // it has made room
	case len(all) == 1:
		delete(c.guests, public)
	default:
		c.guests[public] = slices.Delete(all, i, i+1)
	}
}
