package hub

import (
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Session is one subscriber: the channels that it watches, its cursor and its inbox. Only one
// goroutine at a time may call Next and Rest; all other methods may be called concurrently.
type Session struct {
	// Immutable after Attach.
	hub      *Hub
	owner    any // for those who look at sessions; the hub does not use it
	channels []channel.ID
	wake     func()

	// Guarded by hub.mu.
	watched   []channel.ID // channels, then those added by Watch; nil once s has been detached
	positions []int        // index of s among the watchers of each

	mu     sync.Mutex
	from   proto.ID // the first cursor
	sent   proto.ID // everything up to here has been returned, and sent by the caller of Next
	cursor proto.ID // everything up to here has been returned; only Next moves it
	inbox  *buffer  // messages notified after the cursor, in id order; nil if there are none
	newest proto.ID // newest id that was put into the inbox
	// Newest id returned, including transient messages, which do not move the cursor.
	newestReturned proto.ID
	losses         *losses // nil until something was lost
	stale          bool    // the inbox may have holes
	// Attached without a cursor before any head was known: the next Resync sets the cursor.
	awaitsHead bool
	nudged     bool     // Next must be called again, whatever is due
	resting    bool     // Next is not called until wake has been called
	gone       bool     // it has been detached
	reading    *reading // the read of the log under way; nil if there is none

	given *buffer // what the last Next returned; owned by the caller of Next
	meter Meter   // of the replay under way; nil if it is not paced; owned by the caller of Next
}

// Batch is the messages that are due to a session.
type Batch struct {
	Messages []*proto.Message // in id order; valid until the next call of Next
	// Not nil if the log no longer holds messages that were due: send the client a note.
	Gap    *Gap
	Nudged bool // nothing is due, but s does not rest: call Next again

	// Since when messages have been due that came live; if all of them were replayed, the present.
	Due time.Time
}

// Channels returns the channels that s was attached with. They must not be changed.
func (s *Session) Channels() []channel.ID { return s.channels }

// Meter paces the replay of a session, which lasts until the session has caught up for the first
// time. Its methods are called with no lock held.
type Meter interface {
	// Pause returns how long to wait before the page after an id is read.
	Pause(after proto.ID) time.Duration
	// Replayed is called with the messages of each page that was read. They must not be changed.
	Replayed(messages []*proto.Message)
}

// Meter sets the meter that paces the replay of s. It must be called before the first Next.
func (s *Session) Meter(m Meter) { s.meter = m }

// measure reports the page of a reading, if there is one, to the meter.
func (s *Session) measure(read *reading) {
	if read == nil || s.meter == nil {
		return
	}
	s.meter.Replayed(read.page.Messages)
	if !read.page.More {
		s.meter = nil
	}
}

// Watch makes s receive what is dispatched on one more channel from now on, in id order with
// everything else. The channel must carry transient messages only: the log is not read for it.
func (s *Session) Watch(id channel.ID) { s.hub.watch(s, id) }

// Unwatch ends a Watch. Messages that are already in the inbox are still returned.
func (s *Session) Unwatch(id channel.ID) { s.hub.unwatch(s, id) }

// Cursor returns the id up to which Next has returned everything.
func (s *Session) Cursor() proto.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Claim takes a session at rest over without a wake: the caller becomes the one that calls Next. It
// returns the id up to which everything has been returned. The caller then either calls Next as
// usual, or detaches s and continues from that id in another session, of this hub or of another
// process. If s does not rest, or its state is more than an id, Claim returns false and changes
// nothing.
func (s *Session) Claim() (through proto.ID, ok bool) {
	// Before s is examined: all messages up to here have been pushed, and a session that still
	// rests afterwards has returned them.
	s.hub.mu.Lock()
	through = s.hub.pushedThrough
	s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.resting || s.awaitsHead || s.reading != nil || s.losses != nil && s.losses.owed {
		return proto.ID{}, false
	}
	s.resting = false
	if delivered := s.delivered(); delivered.After(through) {
		through = delivered
	}
	return through, true
}

// Detach ends s. Its wake may still be called once by a call that has begun.
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

// Next returns the messages that are due, in id order, each once. A zero batch means that there are
// none: s rests until it calls wake. Next does not wait: if the log must be read, it starts the
// read, and s rests until there is a page. A read that fails is retried until it succeeds.
//
// Nothing is lost or doubled, for two reasons. A message is given its id, appended and notified in
// one step, so that the log, the notifications and the ids have one order. And a session is
// attached before it reads the log: a message is in the page, in the inbox or in both, and the
// cursor drops what comes twice.
func (s *Session) Next() Batch {
	for {
		s.release()
		what, reading := s.begin()
		switch what {
		case nothingDue, nudgeDue:
			return Batch{Nudged: what == nudgeDue}
		case readDue:
			reading.start()
			continue
		}
		s.measure(reading)
		if trail := s.hub.config.Trail; trail != nil && reading != nil && (len(reading.page.Messages) > 0 || reading.page.Gap()) {
			trail.Read(s, reading.question.After, reading.page)
		}
		if batch := s.collect(reading); len(batch.Messages) > 0 || batch.Gap != nil {
			return batch
		}
	}
}

// Rest makes s rest until it calls wake, as after a zero batch of Next. If something is due, it
// returns false and takes nothing. It ends the validity of the last batch.
func (s *Session) Rest() bool {
	s.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = s.delivered()
	s.resting = !s.stale && s.inbox == nil && !s.nudged
	return s.resting
}

// due is what a session must do next.
type due int8

const (
	nothingDue due = iota // s rests
	nudgeDue              // no message, but Next must be called again
	batchDue              // messages: the inbox, a page that has been read, or both
	readDue               // the log, or the cache of recent messages, must be read
)

// begin returns what is due, and the reading that it concerns. It is one step under the lock: once
// s rests, another goroutine may be woken to call Next.
func (s *Session) begin() (due, *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = s.delivered()
	switch r := s.reading; {
	case r != nil && r.page != nil:
		s.reading = nil
		return batchDue, r
	case r != nil: // until there is a page, the inbox has to wait
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

// collect merges the page of a reading, if there was one, with the inbox, drops what has been
// returned before, and moves the cursor.
func (s *Session) collect(read *reading) Batch {
	var page proto.Page
	if read != nil {
		page = *read.page
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delivered := s.delivered()
	untrusted := read != nil && s.cursor.After(page.Head)
	if untrusted {
		// They belong to a log that no longer exists; the page starts at its beginning.
		s.cursor, s.newestReturned = proto.ID{}, proto.ID{}
		s.from, s.sent = proto.ID{}, proto.ID{}
	}
	inbox := s.inbox
	s.inbox = nil
	s.stale = s.stale || page.More
	if s.stale && inbox != nil {
		// Messages may be missing between the page and what the inbox has beyond it, so that the
		// latter must wait.
		inbox, s.inbox = s.hub.split(inbox, page.Through)
	}
	now := time.Now()
	out := s.take(page.Messages, inbox, now)
	s.given = out
	if page.Through.After(s.cursor) {
		s.cursor = page.Through
	}
	s.hub.stats.Replayed.Add(uint64(len(page.Messages)))
	batch := Batch{Messages: out.messages, Due: now}
	if i := slices.IndexFunc(out.messages, func(m *proto.Message) bool { return read == nil || m.ID.After(page.Through) }); i >= 0 {
		batch.Due = out.messages[i].Received
	}
	if page.Gap() || s.losses != nil && s.losses.owed {
		batch.Gap = s.gap(page, out.messages, delivered, untrusted)
	}
	if n := len(out.messages); n > 0 {
		s.newestReturned = out.messages[n-1].ID
	}
	if batch.Gap != nil && batch.Gap.ID.After(s.newestReturned) {
		s.newestReturned = batch.Gap.ID
	}
	return batch
}

// take returns the messages of a page and an inbox, which may be nil, that come after the cursor,
// and moves the cursor. Without a page it reuses the buffer of the inbox. s.mu is held.
func (s *Session) take(page []*proto.Message, inbox *buffer, now time.Time) *buffer {
	if inbox == nil {
		inbox = s.hub.newBuffer()
	}
	live := inbox.messages
	if len(page) == 0 {
		inbox.messages = s.merge(live[:0], nil, live, now)
		clear(live[len(inbox.messages):])
		return inbox
	}
	out := s.hub.newBuffer()
	out.messages = s.merge(out.messages, page, live, now)
	s.hub.release(inbox)
	return out
}

// merge appends to out, in id order, the messages of two ordered lists that come after the cursor,
// and moves the cursor. A message in both is appended once. Transient messages keep their position
// but do not move the cursor: the log does not hold them.
func (s *Session) merge(out, page, live []*proto.Message, now time.Time) []*proto.Message {
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

// push adds m to the inbox and wakes s if it rests.
func (s *Session) push(m *proto.Message) {
	wake, first, last := s.put(m)
	if trail := s.hub.config.Trail; trail != nil && !first.IsZero() {
		trail.Dropped(s, first, last)
	}
	if wake {
		s.wake()
	}
}

// put adds m to the inbox and reports whether the caller must call wake. A full inbox is dropped:
// the log holds its messages. put returns the first and the last of them.
func (s *Session) put(m *proto.Message) (wake bool, first, last proto.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.ID.After(s.newest) { // it has come on another of the session's channels
		return false, first, last
	}
	s.newest = m.ID
	if s.inbox != nil && s.hub.full(s.inbox, m) {
		first, last = s.inbox.messages[0].ID, s.inbox.messages[len(s.inbox.messages)-1].ID
		s.hub.release(s.inbox)
		s.inbox, s.stale = nil, true
		s.hub.stats.Overflows.Add(1)
	}
	if s.inbox == nil {
		s.inbox = s.hub.newBuffer()
	}
	s.inbox.messages = append(s.inbox.messages, m)
	s.inbox.bytes += m.Size()
	return s.wakeLocked(), first, last
}

// resync makes the inbox stale, or sets the cursor of a session that awaits the head.
func (s *Session) resync(head proto.ID) {
	s.mu.Lock()
	s.newest = proto.ID{} // a log that lost data may continue with smaller ids
	if s.awaitsHead {
		s.awaitsHead, s.cursor, s.from, s.sent = false, head, head, head
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

// Nudge makes s due, so that Next is called again even if no message has come. The caller of Next
// can then do other work.
func (s *Session) Nudge() {
	s.mu.Lock()
	s.nudged = true
	wake := s.wakeLocked()
	s.mu.Unlock()
	if wake {
		s.wake()
	}
}

// wakeLocked ends the rest of s if something is due, and reports whether the caller must call wake
// after it has released s.mu. While the log is read for s, only a nudge makes it due. s.mu is held.
func (s *Session) wakeLocked() bool {
	wake := s.resting && (s.nudged || s.reading == nil || s.reading.page != nil)
	s.resting = s.resting && !wake
	return wake
}

// release returns the buffer of the last batch to the pool.
func (s *Session) release() {
	s.hub.release(s.given)
	s.given = nil
}
