package edge

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/revoke"
	"pushgate/internal/transport"
)

const (
	// revokedInterval is how late a revocation applies at most if its notification is lost.
	revokedInterval = 30 * time.Second
	// revokedRetry is the wait after a read of the revocations that failed.
	revokedRetry = 250 * time.Millisecond
)

var errNotRead = errors.New("revocations have not been read")

// revocations is what a portal has put out, as this edge knows it. A connection is registered
// first and checked then; a list is stored first and the connections are looked through then. So
// none is missed.
type revocations struct {
	list    atomic.Pointer[revoke.List] // nil until it was read
	changed chan struct{}               // has room for one: the list is to be read

	mu    sync.Mutex
	polls map[*subscriber]revocable // heartbeats know the other connections
}

// revocable is a connection that can be put out. Revoke does not block, and may be called often.
type revocable interface{ Revoke() }

func newRevocations() *revocations {
	return &revocations{changed: make(chan struct{}, 1), polls: make(map[*subscriber]revocable)}
}

// read asks for the list to be read soon.
func (v *revocations) read() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// ready returns why clients may be served that were put out; nil if they are not.
func (v *revocations) ready() error {
	if v.list.Load() == nil {
		return errNotRead
	}
	return nil
}

// Revoked implements [store.RevokeFollower].
func (f follower) Revoked() { f.tenant.revoked.read() }

// keepRevoked reads the list when it starts, after each subscription to the log and each
// notification, and now and then, until ctx ends.
func (t *tenant) keepRevoked(ctx context.Context) {
	failing := false
	for {
		pause := jitter(revokedInterval * 2 / 3) // at most revokedInterval
		list, err := t.log.Revocations(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = revokedRetry
			if !failing {
				t.edge.logger.Warn("reading revocations failed; the last list that was read holds", "portal", t.name, "error", err)
			}
		default:
			t.apply(list)
		}
		failing = err != nil
		timer := time.NewTimer(pause)
		select {
		case <-t.revoked.changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// apply makes a list the present one, and ends the connections that it puts out.
func (t *tenant) apply(list revoke.List) {
	before := t.revoked.list.Swap(&list)
	if len(list) == 0 || before != nil && before.Equal(list) {
		return
	}
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
	t.revoked.mu.Lock()
	polls := maps.Clone(t.revoked.polls)
	t.revoked.mu.Unlock()
	for s, c := range polls {
		s.check(c)
	}
}

// client returns by what a client can be put out.
func (s *subscription) revocable() revoke.Client {
	return revoke.Client{User: s.reader.User, Token: s.token, Channels: s.reader.Channels}
}

// check ends a connection if its client is put out. It counts that once: the client will call the
// portal.
func (s *subscriber) check(c revocable) {
	list := s.tenant.revoked.list.Load()
	if list == nil || !list.Has(s.revocable(), time.Now()) {
		return
	}
	c.Revoke()
	if !s.out.Swap(true) {
		s.edge.metrics.revoked.Inc()
		s.edge.metrics.portalCalls.add(s.tenant.serving.Load(), callRefused, 1)
	}
}

// register makes apply find a poll.
func (v *revocations) register(s *subscriber) {
	if poll, ok := s.conn.(*transport.Poll); ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.polls[s] = poll
	}
}

func (v *revocations) unregister(s *subscriber) {
	if _, ok := s.conn.(*transport.Poll); ok {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.polls, s)
	}
}

// putOut reports whether a new client is put out, as far as this edge knows before it serves the
// portal.
func (e *Edge) putOut(sub *subscription) bool {
	e.mu.Lock()
	t := e.tenants[sub.portal.Name()]
	e.mu.Unlock()
	if t == nil {
		return false
	}
	list := t.revoked.list.Load()
	return list != nil && list.Has(sub.revocable(), time.Now())
}
