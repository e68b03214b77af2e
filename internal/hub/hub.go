// Package hub matches what a portal's log notifies of with the sessions of this process, and gives each session its messages.
//
// A session is a cursor into the log and an inbox, a bounded cache of what was notified since. Whatever makes the inbox
// doubtful (a reconnect, a slow reader, a lost notification) is one and the same event here: the inbox is stale, and the log is
// read after the cursor. [Session.Next] is the whole of it.
//
// Locks are taken in this order, and none is held while a wake is called or the log is read:
//
//	Hub.mu, then recent.mu
//	Session.mu, then reads.mu
//
// Hub.mu and Session.mu are never held together.
package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/contain"
	"pushgate/internal/proto"
)

// Log is what a hub needs of a portal's log. It is called concurrently.
type Log interface {
	// Histories answers each question with what the log holds for some channels after a cursor, as one snapshot, a page at a time.
	// With a cursor that the log has not reached (it lost data) it gives everything that it holds, and says so by a Head before
	// the cursor. It is one round trip; the answers are in the order of the questions.
	Histories(ctx context.Context, questions []proto.Question) []proto.Answer
}

// Config bounds a hub. Zero values stand for the defaults.
type Config struct {
	InboxMessages int // messages that an inbox holds before the session must read the log, where transient ones are not; 256, above the largest batch
	InboxBytes    int // bytes of bodies, likewise; 256 KiB

	Pace *Pace // what is asked of the log at a time; several hubs may share one. Nil: [DefaultPace], for this hub alone

	GapInterval time.Duration // between two gaps that a session is told of, at least; a minute

	Stats *Stats // where to count; several hubs may share one. Nil: in a new one

	// Panics is told of panics in the work for one session or one reading of the log, which are recovered. Nil: none is.
	Panics contain.Report
}

// Stats counts what happened in hubs since it was made.
type Stats struct {
	Dispatched   atomic.Uint64 // messages that the log notified of
	Replayed     atomic.Uint64 // messages that sessions had from the log, or from what it had notified of before they came
	Recalled     atomic.Uint64 // pages of these that took no reading of the log
	Trips        atomic.Uint64 // round trips to the log, for any number of sessions each
	Resyncs      atomic.Uint64 // subscriptions to the log, the first one too
	Overflows    atomic.Uint64 // inboxes that were full and dropped
	Gaps         atomic.Uint64 // times that a session may have lost messages, because the log could not hold them
	GapsTold     atomic.Uint64 // times that a session was given a Gap for it
	ReplayErrors atomic.Uint64 // reads of the log that failed, and are tried again
}

// Hub holds the sessions of one portal. It implements [proto.Follower]: one goroutine tells it what the log notifies of. All
// other methods may be called concurrently.
type Hub struct {
	// Immutable after New.
	log    Log
	config Config
	pace   *Pace
	boxes  sync.Pool // of *box
	stats  *Stats
	synced chan struct{} // closed at the first Resync

	recent recent
	reads  reads

	life context.Context // of the reading of the log; Close ends it
	end  context.CancelFunc

	mu      sync.Mutex
	topics  map[channel.ID]*topic
	changed map[channel.ID]struct{} // topics whose number of sessions changed since TakeChanges
	head    proto.ID                // newest id heard
	settled proto.ID                // every session has been pushed what was heard up to here, or knows that its inbox is stale
	placed  bool                    // head is known: there was a Resync
	down    error                   // why the log does not notify now; nil if it does

	// Owned by the goroutine that calls Dispatch and Resync.
	targets []*Session
}

// topic is the sessions that watch one channel.
type topic struct{ watchers []watcher }

// watcher is one session, and which of its channels this topic is.
type watcher struct {
	session *Session
	index   int
}

// ErrNotSynced says why a new hub is not ready.
var ErrNotSynced = errors.New("not yet subscribed to the log")

// New returns a hub over a portal's log. Close it after its last use.
func New(log Log, config Config) *Hub {
	if config.InboxMessages == 0 {
		config.InboxMessages = 256
	}
	if config.InboxBytes == 0 {
		config.InboxBytes = 256 << 10
	}
	if config.Pace == nil {
		config.Pace = DefaultPace()
	}
	if config.GapInterval == 0 {
		config.GapInterval = time.Minute
	}
	if config.Stats == nil {
		config.Stats = new(Stats)
	}
	life, end := context.WithCancel(context.Background())
	return &Hub{
		life:    life,
		end:     end,
		log:     log,
		stats:   config.Stats,
		synced:  make(chan struct{}),
		config:  config,
		pace:    config.Pace,
		boxes:   sync.Pool{New: func() any { return new(box) }},
		topics:  make(map[channel.ID]*topic),
		changed: make(map[channel.ID]struct{}),
		down:    ErrNotSynced,
	}
}

// Close ends the reading of the log, and returns when no goroutine of h is left. Sessions that still
// wait for a page are not woken any more; they can be detached as before.
func (h *Hub) Close() {
	h.end()
	h.reads.close()
	h.reads.workers.Wait()
}

// Stats gives where h counts.
func (h *Hub) Stats() *Stats { return h.stats }

// Ready says why the log does not notify this hub at present; nil if it does.
func (h *Hub) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// Synced is closed once the log notifies this hub for the first time.
func (h *Hub) Synced() <-chan struct{} { return h.synced }

// Head gives the newest id that this hub has heard of.
func (h *Hub) Head() proto.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.head
}

// Channels gives the number of channels that have a session here.
func (h *Hub) Channels() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics)
}

// Dispatch puts m into the inbox of every session that watches one of its receivers. It is called by one goroutine, in id
// order: a second one would break the order of every session without a sign.
//
// If it panics, the next call must be a Resync: the message may not have reached every session.
func (h *Hub) Dispatch(m *proto.Message) {
	h.stats.Dispatched.Add(1)
	h.aim(m)
	for next := 0; next < len(h.targets); {
		next = h.pushFrom(next, m)
	}
	h.settle()
}

// aim makes the sessions that watch a receiver of m the targets.
func (h *Hub) aim(m *proto.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = h.targets[:0]
	h.head = m.ID
	h.recent.add(m) // under the lock: a session that comes too late to be among the targets is to find m here
	for _, id := range m.Receivers {
		if t := h.topics[id]; t != nil {
			for _, w := range t.watchers {
				h.targets = append(h.targets, w.session)
			}
		}
	}
}

// pushFrom pushes m to the targets from the first one on, and returns which is next. After a panic in one it returns early; that
// session reads the log, so that it misses nothing.
func (h *Hub) pushFrom(first int, m *proto.Message) (next int) {
	defer h.config.Panics.Recover("push", func() {
		next++
		h.targets[next-1].spoil()
	})
	for next = first; next < len(h.targets); next++ {
		h.targets[next].push(m)
	}
	return next
}

// Resync makes every inbox stale: any notification may have been missed.
func (h *Hub) Resync(head proto.ID) {
	h.stats.Resyncs.Add(1)
	h.aimAtAll(head)
	for _, s := range h.targets {
		s.resync(head)
	}
	h.settle()
}

// aimAtAll notes the newest id of the log and makes every session a target.
func (h *Hub) aimAtAll(head proto.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = h.targets[:0]
	if !h.placed {
		close(h.synced)
	}
	h.head, h.placed, h.down = head, true, nil
	h.recent.resync(head)
	for _, t := range h.topics {
		for _, w := range t.watchers {
			if w.index == 0 { // each session once
				h.targets = append(h.targets, w.session)
			}
		}
	}
}

// Down notes why notifications have stopped. Sessions stay: the next Resync makes good what they miss.
func (h *Hub) Down(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
	h.recent.pause()
}

// Remember sets how many bytes of the messages that the log notified of last are kept, roughly, for sessions that were away for
// a moment. A new hub keeps none.
func (h *Hub) Remember(bytes int) { h.recent.remember(bytes) }

// settle notes that all targets have been reached. It keeps their memory, but not the sessions in it, which may leave at any time.
func (h *Hub) settle() {
	clear(h.targets)
	h.targets = h.targets[:0]
	h.mu.Lock()
	h.settled = h.head
	h.mu.Unlock()
}

// Attach makes a session that watches channels, none twice and at least one. With a cursor it gives everything after it; with
// nil it begins at the newest id that this hub has heard. Whenever the session has rested and is due again, wake is called,
// once: from any goroutine, so it must not block. The first call of Next needs no wake. End the session with [Session.Detach].
func (h *Hub) Attach(channels []channel.ID, cursor *proto.ID, wake func()) *Session {
	s := &Session{hub: h, channels: channels, wake: wake, watched: channels[:len(channels):len(channels)], places: make([]int, len(channels))}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case cursor != nil:
		s.cursor, s.stale = *cursor, true
	case h.placed:
		s.cursor = h.head
	default:
		s.unplaced = true
	}
	for i := range channels {
		h.enter(s, i)
	}
	return s
}

func (h *Hub) detach(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range s.watched {
		h.leave(s, i)
	}
	s.watched = nil
}

// enter puts s among the watchers of s.watched[i]. h.mu is held.
func (h *Hub) enter(s *Session, i int) {
	id := s.watched[i]
	t := h.topics[id]
	if t == nil {
		t = new(topic)
		h.topics[id] = t
	}
	s.places[i] = len(t.watchers)
	t.watchers = append(t.watchers, watcher{s, i})
	h.changed[id] = struct{}{}
}

// leave takes s from among the watchers of s.watched[i]. h.mu is held.
func (h *Hub) leave(s *Session, i int) {
	id, place := s.watched[i], s.places[i]
	t := h.topics[id]
	last := len(t.watchers) - 1
	moved := t.watchers[last]
	t.watchers[place] = moved
	moved.session.places[moved.index] = place
	t.watchers[last] = watcher{}
	t.watchers = t.watchers[:last]
	if last == 0 {
		delete(h.topics, id)
	}
	h.changed[id] = struct{}{}
}

// watch has s watch one more channel, unless it does.
func (h *Hub) watch(s *Session, id channel.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.watched == nil || slices.Contains(s.watched, id) {
		return
	}
	s.watched, s.places = append(s.watched, id), append(s.places, 0)
	h.enter(s, len(s.watched)-1)
}

// unwatch takes back what watch did. The last channel takes the place of the one that goes; the first ones, which s was made with,
// never move.
func (h *Hub) unwatch(s *Session, id channel.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(s.watched, id)
	if i < len(s.channels) {
		return
	}
	h.leave(s, i)
	last := len(s.watched) - 1
	s.watched[i], s.places[i] = s.watched[last], s.places[last]
	s.watched, s.places = s.watched[:last], s.places[:last]
	if i < last {
		h.topics[s.watched[i]].watchers[s.places[i]].index = i
	}
}

// TakeChanges gives the channels whose number of sessions changed since the last call, with the present number.
func (h *Hub) TakeChanges() []proto.Presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes := make([]proto.Presence, 0, len(h.changed))
	for id := range h.changed {
		var sessions int
		if t := h.topics[id]; t != nil {
			sessions = len(t.watchers)
		}
		changes = append(changes, proto.Presence{Channel: id, Sessions: sessions})
	}
	clear(h.changed)
	return changes
}

// Presence gives all channels that have sessions, with their number.
func (h *Hub) Presence() []proto.Presence {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]proto.Presence, 0, len(h.topics))
	for id, t := range h.topics {
		all = append(all, proto.Presence{Channel: id, Sessions: len(t.watchers)})
	}
	return all
}
