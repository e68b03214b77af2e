// Package storetest helps tests with logs: it has a log in memory, a suite that checks that this
// one and the log in Redis behave the same, and Redis servers to start.
package storetest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
)

// Memory is one portal's log in memory: the counterpart of [store.Log] and of the statistics of
// [store.Store], for tests, also in synctest bubbles. Its methods may be called concurrently. The
// methods that make it fail are in faults.go.
type Memory struct {
	cfg store.Config // immutable, with defaults

	mu   sync.Mutex
	head proto.ID  // newest assigned
	lost time.Time // until then something of the epoch before may be missing
	// Newest id that callers know; survives Flush, as a process survives its Redis.
	known    proto.ID
	bodies   map[proto.ID]body
	lists    map[channel.ID]*list
	births   map[channel.ID]birth
	marks    map[channel.ID]mark
	keys     map[string]keyed
	presence map[string]*presence
	seen     map[int64]time.Time
	stats    map[string]process
	revoked  revoked
	links    map[*link]struct{}
	faults
}

type body struct {
	record []byte
	ends   time.Time
}

type list struct {
	ids  []proto.ID
	ends time.Time
}

type birth struct{ at, ends time.Time }

// mark is the newest id that a cap has dropped before its message expired.
type mark struct {
	id   proto.ID
	ends time.Time
}

// keyed is the message that was appended with a key.
type keyed struct {
	id   proto.ID
	ends time.Time
}

type presence struct {
	sessions map[channel.ID]int
	ends     time.Time
}

type process struct {
	stats proto.Process
	ends  time.Time
}

// NewMemory returns an empty log. It uses the cap, the write window and the limits of a page in
// cfg.
func NewMemory(cfg store.Config) *Memory {
	m := &Memory{cfg: cfg.WithDefaults(), links: make(map[*link]struct{})}
	m.clear()
	return m
}

func (m *Memory) clear() {
	m.head = proto.ID{}
	m.bodies = make(map[proto.ID]body)
	m.lists = make(map[channel.ID]*list)
	m.births = make(map[channel.ID]birth)
	m.marks = make(map[channel.ID]mark)
	m.keys = make(map[string]keyed)
	m.presence = make(map[string]*presence)
	m.seen = make(map[int64]time.Time)
	m.stats = make(map[string]process)
	m.revoked = revoked{}
}

// now returns the time on the log's clock. m.mu is held.
func (m *Memory) now() time.Time { return time.Now().Add(m.ahead) }

// raise opens a new epoch if the log is behind known. m.mu is held.
func (m *Memory) raise(known proto.ID) {
	if m.head.IsZero() || known.After(m.head) {
		m.head = proto.ID{Epoch: max(uint64(m.now().Unix()), known.Epoch+1)}
		m.lost = m.now().Add(proto.MaxTTL)
	}
}

// Append does the same as [store.Log.Append].
func (m *Memory) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return nil, err
	}
	for _, msg := range msgs {
		if err := store.Check(msg); err != nil {
			return nil, err
		}
	}
	now := m.now()
	receipts := make([]proto.Receipt, len(msgs))
	for i, msg := range msgs {
		if earlier, ok := m.keys[msg.Key]; ok && now.Before(earlier.ends) {
			receipts[i] = proto.Receipt{ID: earlier.id, Repeated: true}
			continue
		}
		open, closed := m.split(msg.Receivers, now)
		receipts[i].Closed = closed
		if len(open) == 0 {
			continue
		}
		if len(closed) > 0 {
			msg = msg.To(open)
		}
		m.raise(m.known)
		m.head.Sequence++
		m.known = m.head
		receipts[i].ID = m.head
		if msg.Key != "" {
			m.keys[msg.Key] = keyed{m.head, now.Add(store.KeyLife)}
		}
		m.put(m.head, msg, now)
	}
	return receipts, nil
}

// split separates receivers that may be written to from those whose write window is over. m.mu is
// held.
func (m *Memory) split(receivers []channel.ID, now time.Time) (open, closed []channel.ID) {
	window := m.cfg.WriteWindow
	if window == 0 {
		return receivers, nil
	}
	for _, id := range receivers {
		if b, ok := m.births[id]; ok && now.Before(b.ends) && now.Sub(b.at) >= window {
			closed = append(closed, id)
		} else {
			open = append(open, id)
		}
	}
	return open, closed
}

// put stores a message and notifies the followers. m.mu is held.
func (m *Memory) put(id proto.ID, msg *proto.Message, now time.Time) {
	record := proto.AppendRecord(nil, msg)
	for _, ch := range msg.Receivers {
		if m.cfg.WriteWindow > 0 {
			b, ok := m.births[ch]
			if !ok || !now.Before(b.ends) {
				b.at = now
			}
			b.ends = now.Add(store.ListLife)
			m.births[ch] = b
		}
	}
	if ttl := msg.TTL.Truncate(time.Millisecond); ttl > 0 {
		m.bodies[id] = body{record, now.Add(ttl)}
		for _, ch := range msg.Receivers {
			m.push(ch, id, now)
		}
	}
	for l := range m.links {
		l.notify(event{id: id, record: record, due: time.Now().Add(m.lag)})
	}
}

// push puts an id at the tail of a channel's list and trims the head, as the script does. m.mu is
// held.
func (m *Memory) push(ch channel.ID, id proto.ID, now time.Time) {
	l := m.lists[ch]
	if l == nil || !now.Before(l.ends) {
		l = &list{}
		m.lists[ch] = l
	}
	l.ids = append(l.ids, id)
	l.ends = now.Add(store.ListLife)
	switch excess := len(l.ids) - m.cfg.ChannelCap; {
	case excess > 0:
		for _, old := range l.ids[:excess] {
			if b, ok := m.bodies[old]; ok && now.Before(b.ends) {
				was := m.marks[ch]
				ends := b.ends
				if was.ends.After(ends) {
					ends = was.ends
				}
				m.marks[ch] = mark{old, ends}
			}
		}
		l.ids = slices.Delete(l.ids, 0, excess)
	case len(l.ids)%16 == 0:
		dead := 0
		for dead < min(32, len(l.ids)) && !m.alive(l.ids[dead], now) {
			dead++
		}
		l.ids = slices.Delete(l.ids, 0, dead)
	}
}

// alive reports whether the body of id is there and has not expired. It deletes an expired one.
// m.mu is held.
func (m *Memory) alive(id proto.ID, now time.Time) bool {
	b, ok := m.bodies[id]
	if ok && !now.Before(b.ends) {
		delete(m.bodies, id)
		ok = false
	}
	return ok
}

// History does the same as [store.Log.History].
func (m *Memory) History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	m.mu.Lock()
	hooks := m.hooks
	m.mu.Unlock()
	if hooks.before != nil {
		hooks.before()
	}
	page, err := m.history(ctx, channels, after)
	if hooks.after != nil {
		hooks.after()
	}
	return page, err
}

// Histories does the same as [store.Log.Histories].
func (m *Memory) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	answers := make([]proto.Answer, len(questions))
	for i, q := range questions {
		answers[i].Page, answers[i].Err = m.History(ctx, q.Channels, q.After)
	}
	return answers
}

func (m *Memory) history(ctx context.Context, channels []channel.ID, after proto.ID) (page proto.Page, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after.After(m.head) {
		m.headFor(m.known)
	}
	if err := m.fault(ctx); err != nil {
		return page, err
	}
	now := m.now()
	page.Head = m.head
	switch {
	case after.After(m.head):
		after, page.Lost = proto.ID{}, after
	case !after.IsZero() && after.Epoch != m.head.Epoch && now.Before(m.lost):
		page.Lost = proto.ID{Epoch: m.head.Epoch}
	}
	var ids []proto.ID
	for _, ch := range channels {
		if mark, ok := m.marks[ch]; ok && now.Before(mark.ends) && mark.id.After(after) && mark.id.After(page.Lost) {
			page.Lost = mark.id
		}
		if l := m.lists[ch]; l != nil && now.Before(l.ends) {
			from, _ := slices.BinarySearchFunc(l.ids, after, func(id, after proto.ID) int {
				return cmp.Or(id.Compare(after), -1)
			})
			ids = append(ids, l.ids[from:]...)
		}
	}
	slices.SortFunc(ids, proto.ID.Compare)
	page.Through = after
	bytes := 0
	for _, id := range slices.Compact(ids) {
		if m.alive(id, now) {
			record := m.bodies[id].record
			if n := len(page.Messages); n == m.cfg.PageMessages || n > 0 && bytes+len(record) > m.cfg.PageBytes {
				page.More = true
				break
			}
			msg, err := proto.DecodeRecord(id, record)
			if err != nil {
				return proto.Page{}, err
			}
			bytes += len(record)
			page.Messages = append(page.Messages, msg)
		}
		page.Through = id
	}
	if !page.More && m.head.After(page.Through) {
		page.Through = m.head
	}
	return page, nil
}

// Head does the same as [store.Log.Head].
func (m *Memory) Head(ctx context.Context, known proto.ID) (proto.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return proto.ID{}, err
	}
	return m.headFor(known), nil
}

// headFor is Head without the lock. m.mu is held.
func (m *Memory) headFor(known proto.ID) proto.ID {
	if known.After(m.head) {
		m.raise(known)
	}
	if m.head.After(m.known) {
		m.known = m.head
	}
	return m.head
}

// Online does the same as [store.Log.Online].
func (m *Memory) Online(ctx context.Context, channels []channel.ID) ([]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return nil, err
	}
	now := m.now()
	online := make([]int, len(channels))
	for _, p := range m.presence {
		if !now.Before(p.ends) {
			continue
		}
		for i, ch := range channels {
			online[i] += p.sessions[ch]
		}
	}
	return online, nil
}
