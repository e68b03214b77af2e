package publisher

import (
	"errors"
	"sync/atomic"

	"golang.org/x/time/rate"

	"pushgate/internal/portal"
)

// errBusy says that there is no room for a post now. It is told with 429: unlike after a 503, nothing has been published for sure.
var errBusy = errors.New("too many posts at a time")

// load is what is on its way into the log.
type load struct{ posts, bytes atomic.Int64 }

// add reports whether a post fits below both bounds, and counts it if it does. A post is never too large to be alone.
func (l *load) add(size, posts, bytes int64) bool {
	if l.posts.Add(1) > posts {
		l.posts.Add(-1)
		return false
	}
	if total := l.bytes.Add(size); total > bytes && total > size {
		l.posts.Add(-1)
		l.bytes.Add(-size)
		return false
	}
	return true
}

func (l *load) remove(size int64) {
	l.posts.Add(-1)
	l.bytes.Add(-size)
}

// gate bounds what one portal has on its way into the log, and how often it posts. Its methods may be called concurrently.
type gate struct {
	all   *load // of the process
	own   load
	pace  *rate.Limiter // infinite if the portal has no limit
	posts atomic.Int64  // that the portal may have on their way
}

// newGate makes a gate for a portal.
func newGate(all *load, limits portal.Limits) *gate {
	g := &gate{all: all, pace: rate.NewLimiter(paceOf(limits), limits.Rate)}
	g.posts.Store(int64(limits.Posts))
	return g
}

// limit changes the portal's limits; what is on its way stays.
func (g *gate) limit(limits portal.Limits) {
	g.posts.Store(int64(limits.Posts))
	g.pace.SetLimit(paceOf(limits))
	g.pace.SetBurst(limits.Rate)
}

// paceOf gives the posts a second that limits allow; as many may come at once.
func paceOf(limits portal.Limits) rate.Limit {
	if limits.Rate == 0 {
		return rate.Inf
	}
	return rate.Limit(limits.Rate)
}

// enter lets a post of some bytes in, if there is room for it. Whoever has been let in leaves.
func (g *gate) enter(size int64, c *Config) bool {
	if !g.own.add(size, g.posts.Load(), c.MaxPostsBytes) {
		return false
	}
	if !g.all.add(size, c.MaxPosts, c.MaxPostsBytes) {
		g.own.remove(size)
		return false
	}
	if !g.pace.Allow() {
		g.leave(size)
		return false
	}
	return true
}

func (g *gate) leave(size int64) {
	g.own.remove(size)
	g.all.remove(size)
}
