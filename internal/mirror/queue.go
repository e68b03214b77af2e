package mirror

import (
	"net/http"
	"net/url"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// post is a copy that waits to be sent. It is immutable after [queue.put].
type post struct {
	method   string
	url      *url.URL
	header   http.Header
	body     []byte
	id       proto.ID
	channels []channel.ID
	since    time.Time
	size     int64 // of its memory, in bytes

	begun uint64 // its number among the posts that have begun
	after uint64 // how many had begun when it was put: it goes after those that have a lower id
}

// overhead is about what a post takes besides its texts, in bytes.
const overhead = 512

// memory returns about what a post takes, in bytes.
func (p *post) memory() int64 {
	n := overhead + cap(p.body) + len(p.url.RawQuery) + 2*len(p.url.Path) + len(p.channels)*channel.IDLen
	for name, values := range p.header {
		n += len(name) + 64
		for _, value := range values {
			n += len(value) + 16
		}
	}
	return int64(n)
}

// queue holds the posts that are to be sent.
type queue struct {
	// Immutable.
	maxPosts int
	maxBytes int64
	width    int
	wake     chan struct{} // has a value when the answer of take may be another one

	mu    sync.Mutex
	posts []*post // guarded by mu; the oldest first
	// Guarded by mu: posts in the queue and under way, and their memory.
	count int
	bytes int64
	// Guarded by mu: how many posts have begun to be stored, those of them that have not ended, and
	// the number below which all have ended.
	begun uint64
	open  map[uint64]struct{}
	ended uint64

	// Guarded by mu: posts that are under way, their channels, and whether the channels of the only
	// one are not known.
	underWay int
	busy     map[channel.ID]struct{}
	alone    bool
}

func newQueue(maxPosts int, maxBytes int64, width int) *queue {
	return &queue{maxPosts: maxPosts, maxBytes: maxBytes, width: width, wake: make(chan struct{}, 1),
		open: make(map[uint64]struct{}), busy: make(map[channel.ID]struct{})}
}

// begin returns the number of a post that is about to be stored. Posts that are put from now on
// wait until it ends, because the log may put it before them.
func (q *queue) begin() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	number := q.begun
	q.begun++
	q.open[number] = struct{}{}
	return number
}

// end says that a post is stored or will not be. It may be called several times.
func (q *queue) end(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLocked(number)
}

func (q *queue) endLocked(number uint64) {
	delete(q.open, number)
	for q.ended < q.begun {
		if _, open := q.open[q.ended]; open {
			break
		}
		q.ended++
	}
	q.wakeUp()
}

// wakeUp says that there may be something to take, or nothing any more.
func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// put adds a post, which ends, at the place that its id has among the posts that began before it
// ended. It returns how many were dropped for it: the oldest that are not under way, or the post
// itself if there is no room without them.
func (q *queue) put(p *post) (dropped int) {
	p.size = p.memory()
	q.mu.Lock()
	defer q.mu.Unlock()
	p.after = q.begun
	defer q.endLocked(p.begun)
	for p.size <= q.maxBytes && len(q.posts) > 0 && q.fullFor(p) {
		q.forget(q.shift())
		dropped++
	}
	if q.fullFor(p) {
		return dropped + 1
	}
	q.count++
	q.bytes += p.size
	at := len(q.posts)
	for at > 0 && q.posts[at-1].after > p.begun && q.posts[at-1].id.After(p.id) {
		at--
	}
	q.posts = append(q.posts, p)
	copy(q.posts[at+1:], q.posts[at:])
	q.posts[at] = p
	return dropped
}

func (q *queue) fullFor(p *post) bool { return q.count >= q.maxPosts || q.bytes+p.size > q.maxBytes }

// shift removes the oldest post from the list.
func (q *queue) shift() *post {
	p := q.posts[0]
	q.posts[0] = nil
	q.posts = q.posts[1:]
	return p
}

func (q *queue) forget(p *post) {
	q.count--
	q.bytes -= p.size
}

// take returns the oldest post to be sent now. It is under way until it is done. It returns nil if
// there is none, if an earlier one may still come, if width are under way, or if one of these
// shares a channel with it.
func (q *queue) take() *post {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.posts) == 0 || q.posts[0].after > q.ended || q.underWay == q.width || q.alone || !q.apart(q.posts[0]) {
		return nil
	}
	p := q.shift()
	q.underWay++
	q.alone = p.channels == nil
	for _, id := range p.channels {
		q.busy[id] = struct{}{}
	}
	return p
}

// apart reports whether a post shares no channel with those under way. One whose channels are not
// known may share one with any.
func (q *queue) apart(p *post) bool {
	for _, id := range p.channels {
		if _, taken := q.busy[id]; taken {
			return false
		}
	}
	return p.channels != nil || q.underWay == 0
}

// done says that a post is not under way any more.
func (q *queue) done(p *post) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.underWay--
	q.alone = false
	for _, id := range p.channels {
		delete(q.busy, id)
	}
	q.forget(p)
	q.wakeUp()
}

// clear removes all posts from the queue, and returns how many there were.
func (q *queue) clear() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.posts)
	for len(q.posts) > 0 {
		q.forget(q.shift())
	}
	return n
}

// state returns the number of posts, their memory, and for how long the oldest has waited.
func (q *queue) state() (posts int, bytes int64, oldest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.posts) > 0 {
		oldest = time.Since(q.posts[0].since)
	}
	return q.count, q.bytes, oldest
}
