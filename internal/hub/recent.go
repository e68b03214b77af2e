package hub

import (
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// recent is what the log notified of of late, so that whoever was away for a moment need not read the log: of all channels, since
// those who return had their sessions somewhere else. Between two resyncs no notification is left out, and each holds what the log
// holds; so a cursor from since to through gets from here what it would get from the log. What is notified later comes by the inbox.
type recent struct {
	mu       sync.Mutex
	limit    int      // bytes, as cost reckons them; 0 holds and answers nothing
	whole    bool     // notifications come, and none after since has been left out
	since    proto.ID // all stored messages after it are here
	through  proto.ID // newest id heard
	messages queue[*proto.Message]
	places   queue[place] // one for each receiver of each message, in their order
	newest   map[channel.ID]uint64
	bytes    int
}

// place is a message in the chain of one of its channels. Both are numbers of their queues.
type place struct {
	message  uint64
	previous uint64 // place of the same channel; it may have been dropped
}

// cost is roughly the memory of a message that is kept: its body and the frames of it, its own, and its place in the chains.
func cost(m *proto.Message) int { return 512 + 2*m.Size() + 64*len(m.Receivers) }

// remember sets how many bytes are kept.
func (r *recent) remember(limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
	r.shrink()
}

// add notes the next message.
func (r *recent) add(m *proto.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !m.ID.After(r.through) {
		return // appended between a subscription and its question for the head, which covers it
	}
	if m.Transient() {
		r.through = m.ID
		return // the log does not hold it either
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
		r.newest[id] = r.places.push(place{n, r.newest[id]})
	}
	r.bytes += cost(m)
	r.shrink()
	r.through = m.ID // last: had anything above panicked, the next resync would find that this message is missing
}

// shrink drops the oldest messages while there are too many. r.mu is held.
func (r *recent) shrink() {
	for r.bytes > r.limit {
		m := r.messages.drop()
		r.since = m.ID
		r.bytes -= cost(m)
		for _, id := range m.Receivers {
			if r.newest[id] == r.places.oldest() {
				delete(r.newest, id)
			}
			r.places.drop()
		}
	}
}

// resync says that notifications come again, and which id is the newest of the log. If it is the newest heard, nothing was missed.
func (r *recent) resync(head proto.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = true
	if head == r.through {
		return
	}
	r.since, r.through, r.bytes = head, head, 0
	r.messages, r.places, r.newest = queue[*proto.Message]{}, queue[place]{}, nil
}

// pause says that notifications have stopped: the log knows more now.
func (r *recent) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = false
}

// page answers a question as the log would, in pages of at most so many messages and bytes of bodies; false if it cannot.
func (r *recent) page(q proto.Question, messages, bytes int) (proto.Page, bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 || !r.whole || r.since.After(q.After) || q.After.After(r.through) {
		return proto.Page{}, false
	}
	var found []*proto.Message
	for _, id := range q.Channels {
		for n := r.newest[id]; n != 0 && n >= r.places.oldest(); {
			p := r.places.at(n)
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

// queue numbers what is put into it, from 1 on, and gives it by its number until it is dropped.
type queue[T any] struct {
	items   []T // the first ones, so many as dropped says, have been dropped
	dropped int
	before  uint64 // number of the last one before items
}

// push puts v at the end and gives its number.
func (q *queue[T]) push(v T) uint64 {
	q.items = append(q.items, v)
	return q.before + uint64(len(q.items))
}

// oldest gives the number of the first one that is left, or that will be.
func (q *queue[T]) oldest() uint64 { return q.before + uint64(q.dropped) + 1 }

// at gives what has a number, which must not have been dropped.
func (q *queue[T]) at(n uint64) T { return q.items[n-q.before-1] }

// drop takes the first one off, which there must be. What is left moves down now and then, so that memory stays in proportion.
func (q *queue[T]) drop() T {
	v := q.items[q.dropped]
	clear(q.items[q.dropped : q.dropped+1])
	if q.dropped++; 2*q.dropped > len(q.items) {
		n := copy(q.items, q.items[q.dropped:])
		clear(q.items[n:])
		q.items, q.before, q.dropped = q.items[:n], q.before+uint64(q.dropped), 0
	}
	return v
}
