// Package intake bounds the posts of portals and their clients that are on their way into the log
// at a time, and how often they post.
package intake

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"pushgate/internal/command"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// ErrBusy is the error for a post that does not fit now, or came too soon. Nothing has been
// published.
var ErrBusy = errors.New("too many posts at a time")

// Gates are the gates of one process, one for each portal. Its methods may be called concurrently.
type Gates struct {
	posts, bytes int64 // immutable: bounds of the process
	all          load

	mu sync.Mutex
	of map[string]*Gate // by the names of portals, including those that are not served any more
}

// New returns the gates of a process that has at most so many posts, and so many bytes of their
// bodies, on their way into the log at a time.
func New(posts, bytes int64) *Gates {
	return &Gates{posts: posts, bytes: bytes, of: make(map[string]*Gate)}
}

// Of returns the gate of a portal, the same one at every call, and sets its limits from now on.
// Posts that are on their way stay counted.
func (g *Gates) Of(name string, limits portal.Limits) *Gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.of[name]
	if own == nil {
		own = &Gate{gates: g, pace: rate.NewLimiter(paceOf(limits), limits.Rate)}
		g.of[name] = own
	}
	own.posts.Store(int64(limits.Posts))
	own.pace.SetLimit(paceOf(limits))
	own.pace.SetBurst(limits.Rate)
	return own
}

// Posts returns how many posts are on their way.
func (g *Gates) Posts() int64 { return g.all.posts.Load() }

// load counts what is on its way into the log.
type load struct{ posts, bytes atomic.Int64 }

// add counts a post if it fits below both bounds, and reports whether it does. A single post always
// fits.
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

// Gate bounds the posts of one portal that are on their way into the log, and how often it posts.
// Its methods may be called concurrently.
type Gate struct {
	gates *Gates // immutable
	own   load
	pace  *rate.Limiter // infinite if the portal has no limit
	posts atomic.Int64  // most posts that the portal may have on their way
}

// paceOf returns the posts a second that limits allow; the burst is the same number.
func paceOf(limits portal.Limits) rate.Limit {
	if limits.Rate == 0 {
		return rate.Inf
	}
	return rate.Limit(limits.Rate)
}

// Enter counts a post of some messages and returns true, if there is room for it. Then the caller
// must call [Gate.Leave] with the same messages.
func (g *Gate) Enter(msgs []*proto.Message) bool {
	size := size(msgs)
	if !g.own.add(size, g.posts.Load(), g.gates.bytes) {
		return false
	}
	if !g.gates.all.add(size, g.gates.posts, g.gates.bytes) {
		g.own.remove(size)
		return false
	}
	if !g.pace.Allow() {
		g.Leave(msgs)
		return false
	}
	return true
}

// Leave ends what Enter began.
func (g *Gate) Leave(msgs []*proto.Message) {
	size := size(msgs)
	g.own.remove(size)
	g.gates.all.remove(size)
}

func size(msgs []*proto.Message) (size int64) {
	for _, m := range msgs {
		size += int64(m.Size())
	}
	return size
}

// Log is a portal's log behind its gate.
type Log struct {
	command.Log
	Gate   *Gate
	Portal string       // its name
	Trail  *trail.Posts // remembers what became of posts; may be nil
}

// Append implements [command.Log]. The error may be [ErrBusy].
func (l Log) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	if !l.Gate.Enter(msgs) {
		return nil, ErrBusy
	}
	defer l.Gate.Leave(msgs)
	receipts, err := l.Log.Append(ctx, msgs...)
	l.Trail.Note(l.Portal, msgs, receipts, err)
	return receipts, err
}
