package trail

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Edge remembers what an edge has heard of and written. Its methods may be called concurrently. A
// nil Edge remembers nothing.
type Edge struct {
	heard   *Ring // runs of messages
	ended   *Ring // sessions
	writes  *Ring // what was written late or from the log, and inboxes that were dropped
	refused *Ring
	portals names         // configured, as the other names are ours: neither is bounded
	labels  names         // transports, reasons and causes
	numbers atomic.Uint64 // of sessions
	polls   polls
	traces  *Traces
	posts   *Posts
}

// NewEdge returns an Edge that takes at most so many bytes, not counting clients on long polls.
// rule is as that of [NewPosts].
func NewEdge(bytes int, rule Rule) *Edge {
	e := &Edge{heard: NewRing(bytes / 16 * 3), ended: NewRing(bytes / 16 * 5), writes: NewRing(bytes / 16 * 6), refused: NewRing(bytes / 16),
		posts: NewPosts(bytes/16, rule)}
	e.traces = e.posts.traces
	e.polls.clients = make(map[pollKey]*pollClient)
	return e
}

// Posts returns what remembers the posts of clients that are connected here.
func (e *Edge) Posts() *Posts {
	if e == nil {
		return nil
	}
	return e.posts
}

// Heard remembers when an edge heard of the messages of one portal. One goroutine calls Note.
type Heard struct {
	edge   *Edge
	portal string

	mu   sync.Mutex
	open run
}

// run is messages with consecutive ids that were heard within a short time.
type run struct {
	first    proto.ID
	count    uint64
	from, to int64 // unix microseconds
}

// mostRun is how long a run may last: times are as exact as that, in microseconds.
const mostRun = 50_000

// Heard returns a Heard for a portal; nil for a nil Edge.
func (e *Edge) Heard(portal string) *Heard {
	if e == nil {
		return nil
	}
	return &Heard{edge: e, portal: portal}
}

// Note notes that a message was heard of.
func (h *Heard) Note(m *proto.Message) {
	if h == nil {
		return
	}
	at := m.Received.UnixMicro()
	h.mu.Lock()
	o := &h.open
	if o.count > 0 && m.ID.Epoch == o.first.Epoch && m.ID.Sequence == o.first.Sequence+o.count && at-o.from < mostRun {
		o.count++
		o.to = at
		h.mu.Unlock()
		h.edge.traces.heard(at, h.portal, m)
		return
	}
	before := h.open
	h.open = run{m.ID, 1, at, at}
	h.mu.Unlock()
	h.edge.keep(h.portal, before)
	h.edge.traces.heard(at, h.portal, m)
}

func (e *Edge) keep(portal string, r run) {
	if r.count > 0 {
		e.heard.Append(r.from, e.portals.number(portal), r.first.Epoch, r.first.Sequence, r.count, uint64(r.to-r.from))
	}
}

// End keeps what has not been kept yet. Note must not be called afterwards.
func (h *Heard) End() {
	if h != nil {
		h.edge.keep(h.portal, h.last())
	}
}

func (h *Heard) last() run {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// Span is between two times in unix microseconds.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// When returns when the edge heard of a message of a portal; nil if it has no record of that. open
// is what the portal's own Heard has, if the edge serves the portal.
func (e *Edge) When(portal string, id proto.ID, open *Heard) (found *Span) {
	if e == nil {
		return nil
	}
	look := func(r run) {
		if r.first.Epoch == id.Epoch && id.Sequence-r.first.Sequence < r.count {
			found = &Span{r.from, r.to}
		}
	}
	if open != nil {
		look(open.last())
	}
	of, known := e.portals.has(portal)
	if !known && portal != "" {
		return found
	}
	e.heard.Each(func(at int64, fields []uint64) {
		r := reader{fields}
		if r.next() == of {
			look(run{r.id(), r.next(), at, at + int64(r.next())})
		}
	})
	return found
}

// Reach is from when on an edge has records, in unix microseconds.
type Reach struct {
	Heard   int64 `json:"heard"`
	Ended   int64 `json:"ended"`
	Writes  int64 `json:"writes"`
	Refused int64 `json:"refused"`
}

// Since returns how far back the records of e reach.
func (e *Edge) Since() Reach {
	if e == nil {
		now := time.Now().UnixMicro()
		return Reach{now, now, now, now}
	}
	return Reach{e.heard.Since(), e.ended.Since(), e.writes.Since(), e.refused.Since()}
}

// Session is what a trail needs to know of a living session. It does not change.
type Session struct {
	Number uint64 // of this process; the same for the polls of one client
	Began  int64  // unix microseconds, just before it was attached
	poll   *pollClient
}

// Begin returns the session of a connection that is about to be attached; of a poll, with the
// client's position, which may be nil.
func (e *Edge) Begin(portal string, channels []channel.ID, poll bool, cursor *proto.ID) Session {
	s := Session{Began: time.Now().UnixMicro()}
	if e == nil {
		return s
	}
	if poll {
		s.poll = e.polls.begin(e, portal, channels, cursor, s.Began)
		s.Number = s.poll.past.Number
		return s
	}
	s.Number = e.numbers.Add(1)
	return s
}

// Past is a session as it was at a time: its end, or the present.
type Past struct {
	Number   uint64   `json:"number"` // in its process
	Portal   string   `json:"portal"`
	Kind     string   `json:"transport"`
	Channels []Mark   `json:"marks"`
	Began    int64    `json:"began"`    // unix microseconds
	Ended    int64    `json:"ended"`    // likewise; 0 if it has not
	Reason   string   `json:"reason"`   // why it ended
	Brought  bool     `json:"brought"`  // the client brought a position
	From     proto.ID `json:"from"`     // what is due comes after it
	Sent     proto.ID `json:"sent"`     // everything up to here has been written or passed over
	Returned proto.ID `json:"returned"` // after Sent: is being written
	Acked    proto.ID `json:"acked"`    // newest that the client has acknowledged
	AckedAt  int64    `json:"acked_at"` // unix microseconds
	Polls    int      `json:"polls"`    // that are merged into this session
	Stale    bool     `json:"stale"`    // it must read the log; of living ones
}

// End records a session that has ended.
func (e *Edge) End(s Session, p Past) {
	if e == nil {
		return
	}
	if s.poll != nil {
		e.polls.end(e, s.poll, p)
		return
	}
	e.append(p)
}

func (e *Edge) append(p Past) {
	var fields [24 + 32]uint64
	brought := uint64(0)
	if p.Brought {
		brought = 1
	}
	b := append(fields[:0], p.Number, e.portals.number(p.Portal), e.labels.number(p.Kind), e.labels.number(p.Reason), brought, uint64(max(p.Ended-p.Began, 0)),
		p.From.Epoch, p.From.Sequence, p.Sent.Epoch, p.Sent.Sequence, p.Returned.Epoch, p.Returned.Sequence,
		p.Acked.Epoch, p.Acked.Sequence, uint64(p.AckedAt), uint64(p.Polls))
	for _, m := range p.Channels {
		b = append(b, uint64(m))
	}
	e.ended.Append(p.Ended, b...)
}

// Ended returns the sessions with one of some channels that have ended, and the clients on long
// polls that are between two polls: the newest ones, at most so many. With an id, these are the
// ones that may have written the message, and then as many of the others; many says that there are
// more.
func (e *Edge) Ended(marks []Mark, id proto.ID, most int) (found []Past, many bool) {
	if e == nil {
		return nil, false
	}
	var others []Past
	add := func(p Past) {
		list := &found
		if !id.IsZero() && (!id.After(p.From) || id.After(p.Returned)) {
			list = &others
		}
		if *list = append(*list, p); len(*list) > 2*most {
			*list, many = slices.Delete(*list, 0, len(*list)-most), true
		}
	}
	watches := func(m Mark) bool { return slices.Contains(marks, m) }
	e.ended.Each(func(at int64, fields []uint64) {
		if !slices.ContainsFunc(fields[16:], func(f uint64) bool { return watches(Mark(f)) }) {
			return
		}
		r := reader{fields}
		add(Past{Number: r.next(), Portal: e.portals.text(r.next()), Kind: e.labels.text(r.next()), Reason: e.labels.text(r.next()), Brought: r.next() == 1,
			Began: at - int64(r.next()), Ended: at, From: r.id(), Sent: r.id(), Returned: r.id(), Acked: r.id(), AckedAt: int64(r.next()), Polls: int(r.next()),
			Channels: r.marks()})
	})
	for _, p := range e.polls.resting(watches) {
		add(p)
	}
	many = many || len(found) > most || len(others) > most
	return append(found[max(0, len(found)-most):], others[max(0, len(others)-most):]...), many
}

// Followed reports whether somebody follows sessions live: then [Edge.Step] wants all that happens
// to them.
func (e *Edge) Followed() bool { return e != nil && e.traces.Active() }

// Step reports to those who follow some channels live what happened to a session that watches
// them.
func (e *Edge) Step(s Step, channels []channel.ID) {
	if e.Followed() {
		e.traces.step(s, func() []Mark { return MarksOf(channels) })
	}
}
