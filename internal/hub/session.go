package hub

import (
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Session is one subscriber: the channels that it watches, its cursor and its inbox. Next and Rest are called by one
// goroutine at a time; all other methods may be called concurrently.
type Session struct {
	// Immutable after Attach.
	hub      *Hub
	channels []channel.ID
	wake     func()

	// Guarded by hub.mu.
	watched []channel.ID // channels, and what is watched besides; nil once s has been detached
	places  []int        // where s stands among the watchers of each

	mu       sync.Mutex
	cursor   proto.ID // everything up to here has been given, and this is moved by Next alone
	inbox    *box     // what was notified after the cursor, in id order; nil if nothing was
	newest   proto.ID // of what was put into the inbox
	told     proto.ID // the newest id that was given; messages that move no cursor have one too
	losses   *losses  // nil until something was lost
	stale    bool     // the inbox may have holes
	unplaced bool     // no cursor was brought and no head was known: the next Resync says where to begin
	nudged   bool     // the caller of Next is to have a turn, whatever is due
	resting  bool     // nobody calls Next until wake has been called
	gone     bool     // it has been detached
	reading  *reading // of the log; nil if there is none

	given *box  // what the last Next gave; owned by the caller of Next
	meter Meter // of the replay under way; nil if it is not paced; owned by the caller of Next
}

// box is the memory of an inbox. It comes from a pool, so that a session at rest has none.
type box struct {
	messages []*proto.Message
	bytes    int // of their bodies
}

// Batch is what a session is to be sent at once.
type Batch struct {
	Messages []*proto.Message // in id order; valid until the next call of Next
	Gap      *Gap             // not nil if messages are missing that the log could not hold, and the client is to be told
	Nudged   bool             // nothing is due, but s does not rest: call Next again
}

// Channels gives the channels that s watches. They must not be changed.
func (s *Session) Channels() []channel.ID { return s.channels }

// Meter paces the replay of a session: what it is given from the log until it has caught up for the
// first time. Its methods are called without locks.
type Meter interface {
	// Pause returns how long to wait before the page after an id is read.
	Pause(after proto.ID) time.Duration
	// Replayed is called with the messages of each page that was read. They must not be changed.
	Replayed(messages []*proto.Message)
}

// Meter has the replay of s paced by m. It is called before the first Next.
func (s *Session) Meter(m Meter) { s.meter = m }

// measure has the page of a reading, if there is one, counted by the meter.
func (s *Session) measure(read *reading) {
	if read == nil || s.meter == nil {
		return
	}
	s.meter.Replayed(read.page.Messages)
	if !read.page.More {
		s.meter = nil
	}
}

// Watch has s be given what is dispatched on one more channel from now on, in its order with all else. The channel must carry
// transient messages only: the log is not read for it.
func (s *Session) Watch(id channel.ID) { s.hub.watch(s, id) }

// Unwatch ends a Watch. What is in the inbox already comes all the same.
func (s *Session) Unwatch(id channel.ID) { s.hub.unwatch(s, id) }

// Cursor gives the id up to which s has been given everything.
func (s *Session) Cursor() proto.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Claim makes the caller the one who calls Next, without a wake, if s rests; and gives the id up to which s has been given everything.
// So it either calls Next, and all is as before; or it detaches s, and another session goes on from that id, be it of this hub or of another
// process. It reports false, and nothing has changed, if s does not rest or has more to remember than an id.
func (s *Session) Claim() (through proto.ID, ok bool) {
	// Before s is looked at: what is settled by now has been pushed, and who rests after that has been given it.
	s.hub.mu.Lock()
	through = s.hub.settled
	s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.resting || s.unplaced || s.reading != nil || s.losses != nil && s.losses.owed {
		return proto.ID{}, false
	}
	s.resting = false
	if had := s.had(); had.After(through) {
		through = had
	}
	return through, true
}

// Detach ends s.
func (s *Session) Detach() {
	s.hub.detach(s)
	s.mu.Lock()
	r := s.reading
	s.gone, s.reading = true, nil
	var asked *read
	if r != nil {
		asked = r.asked
		if r.timer != nil {
			r.timer.Stop()
		}
	}
	s.mu.Unlock()
	if asked != nil {
		s.hub.reads.abandon(asked, r)
	}
}

// Next gives the messages that are due, in id order, each once. A zero batch says that there are none: s rests until it calls wake. Next does
// not wait: if the log has to be read, it has that begun, and s rests until there is a page. The log is asked again for as long as it
// cannot be read.
//
// Nothing is lost or doubled, because ids are given where messages are appended and notified in one step, so that the log, the
// notifications and the ids have one order, and because a session is attached before it reads the log: a message is in the page
// or in the inbox or in both, and the cursor drops what comes twice.
func (s *Session) Next() Batch {
	for {
		s.giveBack()
		what, reading := s.begin()
		switch what {
		case nothingDue, nudgeDue:
			return Batch{Nudged: what == nudgeDue}
		case readDue:
			reading.start()
			continue
		}
		s.measure(reading)
		if batch := s.collect(reading); len(batch.Messages) > 0 || batch.Gap != nil {
			return batch
		}
	}
}

// Rest has s rest until it calls wake, as after a zero batch of Next, unless something is due: then it reports false, and takes nothing. What
// was given last is not used any more.
func (s *Session) Rest() bool {
	s.giveBack()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resting = !s.stale && s.inbox == nil && !s.nudged
	return s.resting
}

// What is due to a session.
type due int8

const (
	nothingDue due = iota // s rests
	nudgeDue              // nothing, but the caller of Next has been promised a turn
	batchDue              // messages: what is in the inbox, a page that has been read, or both
	readDue               // the log must be read, or what is kept of it
)

// begin says what is due, and gives the reading that it is about. All of it is one step: once s rests, it may be another goroutine that is
// woken to call Next.
func (s *Session) begin() (due, *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := s.reading; {
	case r != nil && r.page != nil:
		s.reading = nil
		return batchDue, r
	case r != nil: // until then, what is in the inbox has to wait
	case s.stale && !s.gone:
		s.stale = false
		s.reading = &reading{session: s, question: proto.Question{Channels: s.channels, After: s.cursor}, pause: firstPause}
		return readDue, s.reading
	case s.inbox != nil:
		return batchDue, nil
	}
	if s.nudged {
		s.nudged = false
		return nudgeDue, nil
	}
	s.resting = true
	return nothingDue, nil
}

// collect merges the page of a reading, if there was one, with what is in the inbox, drops what has been given before, and moves
// the cursor.
func (s *Session) collect(read *reading) Batch {
	var page proto.Page
	if read != nil {
		page = *read.page
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.had()
	untrusted := read != nil && s.cursor.After(page.Head)
	if untrusted {
		s.cursor, s.told = proto.ID{}, proto.ID{} // of a log that is no more; the page begins at the beginning
	}
	inbox := s.inbox
	s.inbox = nil
	s.stale = s.stale || page.More
	if s.stale && inbox != nil {
		// Between the page and what is in the inbox beyond it, messages may be missing: that much must wait.
		inbox, s.inbox = s.hub.split(inbox, page.Through)
	}
	out := s.take(page.Messages, inbox)
	s.given = out
	if page.Through.After(s.cursor) {
		s.cursor = page.Through
	}
	s.hub.stats.Replayed.Add(uint64(len(page.Messages)))
	batch := Batch{Messages: out.messages}
	if page.Gap() || s.losses != nil && s.losses.owed {
		batch.Gap = s.gap(page, out.messages, had, untrusted)
	}
	if n := len(out.messages); n > 0 {
		s.told = out.messages[n-1].ID
	}
	if batch.Gap != nil && batch.Gap.ID.After(s.told) {
		s.told = batch.Gap.ID
	}
	return batch
}

// take gives what of a page and an inbox, which may be nil, comes after the cursor, and moves the cursor along. An inbox alone keeps its
// memory. s.mu is held.
func (s *Session) take(page []*proto.Message, inbox *box) *box {
	if inbox == nil {
		inbox = s.hub.box()
	}
	live := inbox.messages
	if len(page) == 0 {
		inbox.messages = s.merge(live[:0], nil, live)
		clear(live[len(inbox.messages):])
		return inbox
	}
	out := s.hub.box()
	out.messages = s.merge(out.messages, page, live)
	s.hub.giveBack(inbox)
	return out
}

// merge appends to out what of two lists in id order comes after the cursor, in id order, and moves the cursor along. What
// is in both comes once. Transient messages keep their place, but do not move the cursor: the log knows nothing of them.
func (s *Session) merge(out, page, live []*proto.Message) []*proto.Message {
	now := time.Now()
	for len(page)+len(live) > 0 {
		var m *proto.Message
		if len(live) == 0 || len(page) > 0 && !page[0].ID.After(live[0].ID) {
			m, page = page[0], page[1:]
		} else {
			m, live = live[0], live[1:]
		}
		if !m.ID.After(s.cursor) || m.Expired(now) {
			continue
		}
		if !m.Transient() {
			s.cursor = m.ID
		}
		out = append(out, m)
	}
	return out
}

// push puts m into the inbox, and wakes s if it rests.
func (s *Session) push(m *proto.Message) {
	if s.put(m) {
		s.wake()
	}
}

// put puts m into the inbox, and reports whether wake is to be called. An inbox that is full is dropped: the log has it all.
func (s *Session) put(m *proto.Message) (wake bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.ID.After(s.newest) { // it came by another of our channels already
		return false
	}
	s.newest = m.ID
	if s.inbox != nil && s.hub.full(s.inbox, m) {
		s.hub.giveBack(s.inbox)
		s.inbox, s.stale = nil, true
		s.hub.stats.Overflows.Add(1)
	}
	if s.inbox == nil {
		s.inbox = s.hub.box()
	}
	s.inbox.messages = append(s.inbox.messages, m)
	s.inbox.bytes += m.Size()
	return s.wakeLocked()
}

// resync makes the inbox stale, or gives a session that could not be placed its place.
func (s *Session) resync(head proto.ID) {
	s.mu.Lock()
	s.newest = proto.ID{} // a log that lost data may go on before it
	if s.unplaced {
		s.unplaced, s.cursor = false, head
		s.mu.Unlock()
		return
	}
	s.stale = true
	wake := s.wakeLocked()
	s.mu.Unlock()
	if wake {
		s.wake()
	}
}

// spoil makes the inbox stale after a panic in push.
func (s *Session) spoil() {
	s.mu.Lock()
	s.stale = true
	wake := s.wakeLocked()
	s.mu.Unlock()
	if wake {
		s.wake()
	}
}

// Nudge sees to it that Next is called again after this, even if nothing has come for s, so that its caller gets a turn.
func (s *Session) Nudge() {
	s.mu.Lock()
	s.nudged = true
	wake := s.wakeLocked()
	s.mu.Unlock()
	if wake {
		s.wake()
	}
}

// wakeLocked ends the rest of s if something is due, and reports whether the caller must call wake once it has released s.mu,
// which is held. While the log is read for s, only a nudge is due.
func (s *Session) wakeLocked() bool {
	wake := s.resting && (s.nudged || s.reading == nil || s.reading.page != nil)
	s.resting = s.resting && !wake
	return wake
}

// giveBack ends the life of the last batch.
func (s *Session) giveBack() {
	s.hub.giveBack(s.given)
	s.given = nil
}

func (h *Hub) box() *box { return h.boxes.Get().(*box) }

// giveBack empties b, which may be nil, and returns it to the pool.
func (h *Hub) giveBack(b *box) {
	if b == nil {
		return
	}
	clear(b.messages)
	b.messages, b.bytes = b.messages[:0], 0
	h.boxes.Put(b)
}

// full reports whether m does not fit into b.
func (h *Hub) full(b *box, m *proto.Message) bool {
	return len(b.messages) >= h.config.InboxMessages || b.bytes+m.Size() > h.config.InboxBytes
}

// split parts b into what is up to an id and what is after it. Either may be nil.
func (h *Hub) split(b *box, through proto.ID) (before, after *box) {
	for i, m := range b.messages {
		if !m.ID.After(through) {
			continue
		}
		if i == 0 {
			return nil, b
		}
		after = h.box()
		for _, m := range b.messages[i:] {
			after.messages = append(after.messages, m)
			after.bytes += m.Size()
		}
		clear(b.messages[i:])
		b.messages = b.messages[:i]
		return b, after
	}
	return b, nil
}
