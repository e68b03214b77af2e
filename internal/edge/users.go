package edge

import (
	"slices"
	"sync"

	"pushgate/internal/channel"
)

// evictable is a connection that has to make room for a newer one of the same user.
type evictable interface{ Evict() }

// userLimits bounds how many connections of one user this process holds. A user is known by an id
// of its own: channels that many share have none. Its methods may be called concurrently.
type userLimits struct {
	mu    sync.Mutex
	conns map[channel.ID][]evictable // by user, oldest first
}

func newUserLimits() *userLimits { return &userLimits{conns: make(map[channel.ID][]evictable)} }

// enter adds a connection, and evicts the oldest ones beyond limit, each once. A limit of 0 is
// none.
func (u *userLimits) enter(user channel.ID, limit int, c evictable) {
	if user.IsZero() || limit == 0 {
		return
	}
	u.mu.Lock()
	all := append(u.conns[user], c)
	var oldest []evictable
	if len(all) > limit { // by more than one if the limit has become lower
		oldest = slices.Clone(all[:len(all)-limit])
		all = slices.Delete(all, 0, len(oldest))
	}
	u.conns[user] = all
	u.mu.Unlock()
	for _, c := range oldest {
		c.Evict()
	}
}

// leave takes a connection off. It is called once for each that has entered.
func (u *userLimits) leave(user channel.ID, c evictable) {
	if user.IsZero() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.conns[user]
	i := slices.Index(all, c)
	switch {
	case i < 0: // it was evicted, or entered when there was no limit
	case len(all) == 1:
		delete(u.conns, user)
	default:
		u.conns[user] = slices.Delete(all, i, i+1)
	}
}
