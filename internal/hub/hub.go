// Package hub routes a portal's live messages to the sessions of this process, and replays from the
// log what a session missed.
//
// A session is a cursor into the log and an inbox, a bounded cache of the messages notified since
// then. A reconnect, a slow reader and a lost notification all have the same effect: the inbox is
// stale, and the log is read after the cursor. [Session.Next] does all of this.
//
// Locks are taken in this order. None is held while a wake is called or the log is read:
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

// Log is the part of a portal's log that a hub uses. Its methods must be safe for concurrent use.
type Log interface {
	// Histories returns for each question one page of what the log holds for some channels after a
	// cursor, as one snapshot. For a cursor that the log has not reached, because it lost data, it
	// returns everything that it holds, with a Head before the cursor. It makes one round trip. The
	// answers are in the order of the questions.
	Histories(ctx context.Context, questions []proto.Question) []proto.Answer
}

// Config bounds a hub. A zero field takes its default.
type Config struct {
	// Most messages of an inbox; 256, above the largest batch. Beyond it the inbox is dropped and
	// the session reads the log, which has no transient messages.
	InboxMessages int
	InboxBytes    int // most bytes of bodies, likewise; 256 KiB

	// Bounds concurrent reads of the log; hubs may share one. Nil: [DefaultPace], for this hub
	// alone.
	Pace *Pace

	GapInterval time.Duration // least time between two gaps reported to one session; a minute

	Stats *Stats // the counters; hubs may share one. Nil: new ones

	// Trail is told what does not follow from the positions of sessions. Nil: nobody is told.
	Trail Trail

	// Panics receives the panics in the work for one session or one read of the log, which are
	// recovered. Nil: no panic is recovered.
	Panics contain.Report
}

// Trail notes what sessions get otherwise than live. Its methods are called concurrently, with no
// lock held, and must not block.
type Trail interface {
	// Read is called with the page that a session is about to return, and the cursor that it was
	// read after.
	Read(s *Session, after proto.ID, page *proto.Page)
	// Dropped is called when the full inbox of a session was dropped, with its first and its last
	// message. Those that are stored will be read from the log.
	Dropped(s *Session, first, last proto.ID)
}

// Stats counts events of one or more hubs since it was made.
type Stats struct {
	Dispatched atomic.Uint64 // messages notified by the log
	// Messages replayed to sessions, from the log or from the cache of recent messages.
	Replayed  atomic.Uint64
	Recalled  atomic.Uint64 // pages of these that the cache of recent messages answered
	Trips     atomic.Uint64 // round trips to the log; one may serve any number of sessions
	Resyncs   atomic.Uint64 // subscriptions to the log, including the first
	Overflows atomic.Uint64 // inboxes dropped because they were full
	// Times that a session may have missed messages that the log no longer holds.
	Gaps         atomic.Uint64
	GapsReported atomic.Uint64 // Gaps returned to sessions
	ReplayErrors atomic.Uint64 // failed reads of the log, which are retried
}

// Hub holds the sessions of one portal. It implements [proto.Follower], whose methods one goroutine
// calls. All other methods may be called concurrently.
type Hub struct {
	// Immutable after New.
	log     Log
	config  Config
	pace    *Pace
	buffers sync.Pool // of *buffer
	stats   *Stats
	synced  chan struct{} // closed at the first Resync

	recent recent
	reads  reads

	life context.Context // context of the reads of the log; Close cancels it
	end  context.CancelFunc

	mu      sync.Mutex
	topics  map[channel.ID]*topic
	changed map[channel.ID]struct{} // topics whose number of sessions changed since TakeChanges
	head    proto.ID                // newest id notified
	// All messages up to here have been pushed to every session, or its inbox is stale.
	pushedThrough proto.ID
	headKnown     bool  // there was a Resync
	down          error // why the log does not notify at present; nil if it does

	// Owned by the goroutine that calls Dispatch and Resync.
	targets []*Session
}

// topic holds the sessions that watch one channel.
type topic struct{ watchers []watcher }

// watcher is one session, and the index of the topic among its channels.
type watcher struct {
	session *Session
	index   int
}

// ErrNotSynced is the error of [Hub.Ready] before the first Resync.
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
		buffers: sync.Pool{New: func() any { return new(buffer) }},
		topics:  make(map[channel.ID]*topic),
		changed: make(map[channel.ID]struct{}),
		down:    ErrNotSynced,
	}
}

// Close cancels the reads of the log and returns when no goroutine of h is left. Sessions that
// still wait for a page are not woken any more. They can be detached as before.
func (h *Hub) Close() {
	h.end()
	h.reads.close()
	h.reads.workers.Wait()
}

// Stats returns the counters of h.
func (h *Hub) Stats() *Stats { return h.stats }

// Ready returns nil if the log notifies this hub at present, else an error that says why it does
// not.
func (h *Hub) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// Synced returns a channel that is closed at the first Resync.
func (h *Hub) Synced() <-chan struct{} { return h.synced }

// Head returns the newest id that this hub knows.
func (h *Hub) Head() proto.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.head
}

// Channels returns the number of channels that have a session in this hub.
func (h *Hub) Channels() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics)
}

// Dispatch puts m into the inbox of every session that watches one of its receivers. It must be
// called by one goroutine, in id order: a second caller would silently break the order of every
// session.
//
// If it panics, the next call must be a Resync: m may not have reached every session.
func (h *Hub) Dispatch(m *proto.Message) {
	h.stats.Dispatched.Add(1)
	h.aim(m)
	for next := 0; next < len(h.targets); {
		next = h.pushFrom(next, m)
	}
	h.pushed()
}

// aim sets the targets to the sessions that watch a receiver of m.
func (h *Hub) aim(m *proto.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = h.targets[:0]
	h.head = m.ID
	// Under the lock: a session attached too late to be a target must find m here.
	h.recent.add(m)
	for _, id := range m.Receivers {
		if t := h.topics[id]; t != nil {
			for _, w := range t.watchers {
				h.targets = append(h.targets, w.session)
			}
		}
	}
}

// pushFrom pushes m to the targets from first on and returns the index of the next one. If a push
// panics, it returns early, and that session reads the log, so that it misses nothing.
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

// Resync makes every inbox stale, because any notification may have been missed. head is the newest
// id of the log.
func (h *Hub) Resync(head proto.ID) {
	h.stats.Resyncs.Add(1)
	h.aimAtAll(head)
	for _, s := range h.targets {
		s.resync(head)
	}
	h.pushed()
}

// aimAtAll records the newest id of the log and makes every session a target.
func (h *Hub) aimAtAll(head proto.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = h.targets[:0]
	if !h.headKnown {
		close(h.synced)
	}
	h.head, h.headKnown, h.down = head, true, nil
	h.recent.resync(head)
	for _, t := range h.topics {
		for _, w := range t.watchers {
			if w.index == 0 { // each session once
				h.targets = append(h.targets, w.session)
			}
		}
	}
}

// Down records why notifications have stopped. Sessions stay attached: after the next Resync they
// read what they missed.
func (h *Hub) Down(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
	h.recent.pause()
}

// Remember sets how many bytes of the messages notified by the log last are kept, roughly, for
// sessions that were away for a moment. A new hub has no cache.
func (h *Hub) Remember(bytes int) { h.recent.remember(bytes) }

// pushed records that the message has been pushed to all targets. It keeps the slice but clears it,
// so that detached sessions can be collected.
func (h *Hub) pushed() {
	clear(h.targets)
	h.targets = h.targets[:0]
	h.mu.Lock()
	h.pushedThrough = h.head
	h.mu.Unlock()
}

// Attach returns a session that watches channels: at least one, each once. With a cursor, the
// session returns everything after it. With nil, it begins at the newest id that this hub knows.
// wake is called once each time that something is due to a session at rest. Any goroutine may call
// it, so it must not block. The first call of Next needs no wake. The caller ends the session with
// [Session.Detach].
func (h *Hub) Attach(channels []channel.ID, cursor *proto.ID, wake func()) *Session {
	return h.AttachFor(nil, channels, cursor, wake)
}

// AttachFor is Attach for an owner, which [Session.Owner] returns.
func (h *Hub) AttachFor(owner any, channels []channel.ID, cursor *proto.ID, wake func()) *Session {
	s := &Session{hub: h, owner: owner, channels: channels, wake: wake, watched: channels[:len(channels):len(channels)], positions: make([]int, len(channels))}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case cursor != nil:
		s.cursor, s.stale = *cursor, true
	case h.headKnown:
		s.cursor = h.head
	default:
		s.awaitsHead = true
	}
	s.from, s.sent = s.cursor, s.cursor
	for i := range channels {
		h.addWatcher(s, i)
	}
	return s
}

func (h *Hub) detach(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range s.watched {
		h.removeWatcher(s, i)
	}
	s.watched = nil
}

// addWatcher adds s to the watchers of s.watched[i]. h.mu is held.
func (h *Hub) addWatcher(s *Session, i int) {
	id := s.watched[i]
	t := h.topics[id]
	if t == nil {
		t = new(topic)
		h.topics[id] = t
	}
	s.positions[i] = len(t.watchers)
	t.watchers = append(t.watchers, watcher{s, i})
	h.changed[id] = struct{}{}
}

// removeWatcher removes s from the watchers of s.watched[i]. h.mu is held.
func (h *Hub) removeWatcher(s *Session, i int) {
	id, position := s.watched[i], s.positions[i]
	t := h.topics[id]
	last := len(t.watchers) - 1
	moved := t.watchers[last]
	t.watchers[position] = moved
	moved.session.positions[moved.index] = position
	t.watchers[last] = watcher{}
	t.watchers = t.watchers[:last]
	if last == 0 {
		delete(h.topics, id)
	}
	h.changed[id] = struct{}{}
}

// watch makes s watch one more channel, unless it watches it already.
func (h *Hub) watch(s *Session, id channel.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.watched == nil || slices.Contains(s.watched, id) {
		return
	}
	s.watched, s.positions = append(s.watched, id), append(s.positions, 0)
	h.addWatcher(s, len(s.watched)-1)
}

// unwatch undoes watch. The last channel moves to the position of the removed one. The first ones,
// which s was attached with, never move.
func (h *Hub) unwatch(s *Session, id channel.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(s.watched, id)
	if i < len(s.channels) {
		return
	}
	h.removeWatcher(s, i)
	last := len(s.watched) - 1
	s.watched[i], s.positions[i] = s.watched[last], s.positions[last]
	s.watched, s.positions = s.watched[:last], s.positions[:last]
	if i < last {
		h.topics[s.watched[i]].watchers[s.positions[i]].index = i
	}
}
