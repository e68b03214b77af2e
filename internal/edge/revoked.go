package edge

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/transport"
)

const (
	// revokedInterval is how often the version of the revocations is compared, at least. It is for
	// what should not happen: a notification is missed only with others, and then the list is read.
	revokedInterval = 30 * time.Second
	// revokedRest is the time between two looks through all connections of the process, those of
	// other portals included: a portal could cause them all the time.
	revokedRest = 250 * time.Millisecond
	// Bounds of the wait after a read of the revocations that failed.
	revokedRetry    = 50 * time.Millisecond
	revokedMaxRetry = 2 * time.Second
)

// revocations is what a portal has put out, as this edge knows it. No message that was published
// later than a revocation is delivered against it:
//
//   - The log notifies of it in the order of the messages. Whoever misses it also knows that
//     something is missing, and is subscribed anew.
//   - Until all connections have been looked through after a notification, each that is about to
//     deliver is looked at first.
//   - The list is read after each subscription, before anything is dispatched.
//   - A page of the log with messages that have not been notified yet is delivered only when the
//     list has been read after it (see guardedLog).
//
// A connection is registered first and checked then; the list is changed first and the connections
// are looked through then. So none is missed.
type revocations struct {
	changed chan struct{} // has room for one: the connections are to be looked through
	reading sync.Mutex    // held during a read of the list

	// How many notifications there were, and after how many of them all connections have been
	// looked through.
	noted, applied atomic.Uint64

	mu      sync.RWMutex
	list    revoke.List
	version proto.ID      // of list: all changes up to it are there
	read    bool          // there is a read under way
	notes   []revoke.Note // that came meanwhile

	pollsMu sync.Mutex
	polls   map[*transport.Poll]struct{} // heartbeats know the other connections
}

// revocable is a connection that can be put out. Revoke does not block, and may be called often.
// Nothing is delivered after it.
type revocable interface{ Revoke() }

func newRevocations() *revocations {
	return &revocations{changed: make(chan struct{}, 1), list: make(revoke.List), polls: make(map[*transport.Poll]struct{})}
}

// has reports whether a client is put out.
func (v *revocations) has(c revoke.Client) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.list.Has(c, time.Now())
}

// note makes the change of a message of [channel.Revocations].
func (v *revocations) note(m *proto.Message) {
	n, err := revoke.ParseNote(m.Body)
	v.mu.Lock()
	if err == nil {
		v.list.Apply(n)
		v.version = m.ID
		if v.read {
			v.notes = append(v.notes, n)
		}
	} else {
		v.version = proto.ID{} // the next comparison finds another one
	}
	v.noted.Add(1)
	v.mu.Unlock()
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// begin begins a read, and returns the version of the list.
func (v *revocations) begin() proto.ID {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read, v.notes = true, nil
	return v.version
}

// finish replaces the list by one that was read, unless it is nil.
func (v *revocations) finish(list revoke.List, version proto.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	notes := v.notes
	v.read, v.notes = false, nil
	if list == nil {
		return
	}
	for _, n := range notes { // perhaps again; the newest of each entry counts
		list.Apply(n)
	}
	if v.list = list; len(notes) == 0 || version.After(v.version) {
		v.version = version
	}
}

func (v *revocations) prune() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list.Prune(time.Now())
}

// refresh reads the list if it has changed, and ends the connections that it puts out.
func (t *tenant) refresh(ctx context.Context) error {
	v := t.revoked
	v.reading.Lock()
	defer v.reading.Unlock()
	list, version, err := t.log.Revocations(ctx, v.begin())
	v.finish(list, version)
	if list != nil {
		t.putOut()
	}
	return err
}

// refreshSurely is refresh until that succeeds or ctx ends.
func (t *tenant) refreshSurely(ctx context.Context) {
	for pause := revokedRetry; ; pause = min(2*pause, revokedMaxRetry) {
		err := t.refresh(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if pause == revokedRetry {
			t.edge.logger.Warn("reading revocations failed; nothing is delivered before that", "portal", t.name, "error", err)
		}
		if wait(ctx, jitter(pause)) != nil {
			return
		}
	}
}

// keepRevoked ends connections after each notification, and looks for changes now and then, until
// ctx ends.
func (t *tenant) keepRevoked(ctx context.Context) {
	ticker := time.NewTicker(jitter(revokedInterval * 2 / 3)) // at most revokedInterval
	defer ticker.Stop()
	for {
		select {
		case <-t.revoked.changed:
			noted := t.revoked.noted.Load()
			t.putOut()
			t.revoked.applied.Store(noted)
			_ = wait(ctx, revokedRest) // its error is that of ctx
		case <-ticker.C:
			t.revoked.prune()
			_ = t.refresh(ctx) // if it fails, so does what else is read, which is logged
		case <-ctx.Done():
			return
		}
	}
}

// putOut ends the connections that are put out.
func (t *tenant) putOut() {
	for _, m := range t.edge.shared.Heartbeats.Members() {
		c, ok := m.(interface {
			revocable
			Owner() transport.Owner
		})
		if !ok {
			continue
		}
		if s := c.Owner().(*subscriber); s.tenant == t {
			s.check(c)
		}
	}
	t.revoked.pollsMu.Lock()
	polls := maps.Clone(t.revoked.polls)
	t.revoked.pollsMu.Unlock()
	for poll := range polls {
		poll.Owner().(*subscriber).check(poll)
	}
}

// guardedLog is the log as the hub reads it. An edge may read the log of a new master while it is
// still subscribed at the old one, where the revocations of now are not notified.
type guardedLog struct {
	Log
	tenant *tenant
}

// Histories implements [hub.Log].
func (g guardedLog) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	answers := g.Log.Histories(ctx, questions)
	head := g.tenant.hub.Head()
	ahead := func(a proto.Answer) bool {
		n := len(a.Page.Messages)
		return n > 0 && a.Page.Messages[n-1].ID.After(head)
	}
	var err error
	read := false
	for i, a := range answers {
		if !ahead(a) {
			continue
		}
		if !read {
			read, err = true, g.tenant.refresh(ctx)
		}
		if err != nil {
			answers[i] = proto.Answer{Err: err}
		}
	}
	return answers
}

// isRevocation reports whether a message is one by which the log notifies of a revocation.
func isRevocation(m *proto.Message) bool {
	return m.Receivers[0] == channel.Revocations() && m.Sender.Type == proto.SenderBackend
}

// revocable returns by what a client can be put out.
func (s *subscription) revocable() revoke.Client {
	return revoke.Client{User: s.reader.User, Token: s.token, Channels: s.reader.Channels}
}

// check ends a connection if its client is put out, and reports whether it is. It counts that once:
// the client will call the portal.
func (s *subscriber) check(c revocable) (out bool) {
	if !s.tenant.revoked.has(s.revocable()) {
		return false
	}
	c.Revoke()
	if !s.out.Swap(true) {
		s.edge.metrics.revoked.Inc()
		s.edge.metrics.portalCalls.add(s.tenant.serving.Load(), callRefused, 1)
	}
	return true
}

// pending reports whether there are connections that may not have been looked through since the
// last notification.
func (v *revocations) pending() bool { return v.noted.Load() != v.applied.Load() }

// register makes putOut find a poll.
func (v *revocations) register(s *subscriber) {
	if poll, ok := s.conn.(*transport.Poll); ok {
		v.pollsMu.Lock()
		defer v.pollsMu.Unlock()
		v.polls[poll] = struct{}{}
	}
}

func (v *revocations) unregister(s *subscriber) {
	if poll, ok := s.conn.(*transport.Poll); ok {
		v.pollsMu.Lock()
		defer v.pollsMu.Unlock()
		delete(v.polls, poll)
	}
}

// putOut reports whether a new client is put out, as far as this edge knows before it serves the
// portal.
func (e *Edge) putOut(sub *subscription) bool {
	e.mu.Lock()
	t := e.tenants[sub.portal.Name()]
	e.mu.Unlock()
	return t != nil && t.revoked.has(sub.revocable())
}
