package hub

import (
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// recent caches the newest messages of all channels, so that a session that was away for a moment
// need not read the log. It holds all channels because a client that returns may have had its
// session in another process. Between two resyncs no notification is left out, and each holds what
// the log holds. So for a cursor from since to through the cache returns what the log would. Later
// messages come by the inbox.
type recent struct {
	mu       sync.Mutex
	limit    int      // bytes, as estimated by cost; 0 holds and answers nothing
	whole    bool     // notifications arrive, and none after since was missed
	since    proto.ID // all stored messages after it are here
	through  proto.ID // newest id notified
	messages numbered[*proto.Message]
	entries  numbered[entry] // one for each receiver of each message, in order
	newest   map[channel.ID]uint64
	bytes    int
}

// entry is a message in the chain of one of its channels. Both fields are numbers in their queues.
type entry struct {
	message  uint64
	previous uint64 // entry of the same channel; it may have been dropped
}

// cost returns roughly the bytes that a cached message takes: itself, its body and the frames made
// of it, and its entries.
func cost(m *proto.Message) int { return 512 + 2*m.Size() + 64*len(m.Receivers) }

// remember sets the size of the cache in bytes.
func (r *recent) remember(limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
	r.shrink()
}

// add adds the next message.
func (r *recent) add(m *proto.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !m.ID.After(r.through) {
		return // appended after the subscription and before its query for the head, which covers it
	}
	if m.Transient() {
		r.through = m.ID
		return // the log does not hold it, either
	}
	if r.limit == 0 {
		r.since, r.through = m.ID, m.ID
		return
	}
	if r.newest == nil {
		r.newest = make(map[channel.ID]uint64)
	}
	n := r.messages.push(m)
	for _, id := range m.Receivers {
		r.newest[id] = r.entries.push(entry{n, r.newest[id]})
	}
	r.bytes += cost(m)
	r.shrink()
	// Last: after a panic above, the next resync finds that this message is missing.
	r.through = m.ID
}

// shrink drops the oldest messages while the cache is over its limit. r.mu is held.
func (r *recent) shrink() {
	for r.bytes > r.limit {
		m := r.messages.drop()
		r.since = m.ID
		r.bytes -= cost(m)
		for _, id := range m.Receivers {
			if r.newest[id] == r.entries.oldest() {
				delete(r.newest, id)
			}
			r.entries.drop()
		}
	}
}

// resync records that notifications arrive again, and the newest id of the log. If that is the
// newest id notified, nothing was missed, and the cache stays.
func (r *recent) resync(head proto.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = true
	if head == r.through {
		return
	}
	r.since, r.through, r.bytes = head, head, 0
	r.messages, r.entries, r.newest = numbered[*proto.Message]{}, numbered[entry]{}, nil
}

// pause records that notifications have stopped: the log may hold more now.
func (r *recent) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = false
}

// page returns the answer that the log would give to a question, in pages of at most that many
// messages and bytes of bodies. It returns false if the cache does not reach far enough back.
func (r *recent) page(q proto.Question, messages, bytes int) (proto.Page, bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 || !r.whole || r.since.After(q.After) || q.After.After(r.through) {
		return proto.Page{}, false
	}
	var found []*proto.Message
	for _, id := range q.Channels {
		for n := r.newest[id]; n != 0 && n >= r.entries.oldest(); {
			p := r.entries.at(n)
			m := r.messages.at(p.message)
			if !m.ID.After(q.After) {
				break
			}
			if !m.Expired(now) {
				found = append(found, m)
			}
			n = p.previous
		}
	}
	slices.SortFunc(found, func(a, b *proto.Message) int { return a.ID.Compare(b.ID) })
	page := proto.Page{Messages: slices.Compact(found), Through: r.through, Head: r.through}
	size := 0
	for i, m := range page.Messages {
		if size += m.Size(); i > 0 && (i == messages || size > bytes) {
			page.Messages, page.More = page.Messages[:i], true
			page.Through = page.Messages[i-1].ID
			break
		}
	}
	return page, true
}

// numbered is a queue that numbers its items from 1 on and returns them by number until they are
// dropped.
type numbered[T any] struct {
	items   []T // the first dropped of them have been dropped
	dropped int
	before  uint64 // number of the item before items[0]
}

// push appends v and returns its number.
func (q *numbered[T]) push(v T) uint64 {
	q.items = append(q.items, v)
	return q.before + uint64(len(q.items))
}

// oldest returns the number of the first item left, or of the next one if there is none.
func (q *numbered[T]) oldest() uint64 { return q.before + uint64(q.dropped) + 1 }

// at returns the item with number n, which must not have been dropped.
func (q *numbered[T]) at(n uint64) T { return q.items[n-q.before-1] }

// drop removes and returns the first item; the queue must not be empty. The rest is moved down now
// and then, so that memory stays in proportion.
func (q *numbered[T]) drop() T {
	v := q.items[q.dropped]
	clear(q.items[q.dropped : q.dropped+1])
	if q.dropped++; 2*q.dropped > len(q.items) {
		n := copy(q.items, q.items[q.dropped:])
		clear(q.items[n:])
		q.items, q.before, q.dropped = q.items[:n], q.before+uint64(q.dropped), 0
	}
	return v
}
