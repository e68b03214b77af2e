package edge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushgate/internal/hub"
	"pushgate/internal/loglimit"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
	"pushgate/internal/trail"
)

const (
	// tenantRest is how long an edge follows a portal after its last connection here: a page may be
	// changing, or a poll about to send its next request.
	tenantRest = time.Minute
	// syncPatience is how long the first subscribers of a portal wait until its log notifies this
	// edge. Without the wait, those without a cursor would miss what is published meanwhile.
	syncPatience = 3 * time.Second
)

// tenant is a portal as this edge serves it: what its subscribers are attached to.
type tenant struct {
	// Immutable.
	edge     *Edge
	name     string
	clientID string
	log      Log
	hub      *hub.Hub
	users    *userLimits
	revoked  *revocations
	tally    *tally.Tally
	before   <-chan struct{} // closed when the tenant before it has ended; nil if there was none
	ended    chan struct{}   // closed when this one has

	serving   atomic.Pointer[serving] // at present, or the last time
	removed   atomic.Bool             // the portal is not served any more
	published publishTimes
	heard     *trail.Heard // immutable
	gapLog    gapLog
	asks      *rate.Limiter // immutable: of all its connections

	batchLog, callLog loglimit.Limiter                         // of those that failed
	numbers           struct{ webSockets, polls atomic.Int64 } // of connections

	// Guarded by edge.mu.
	// The log is followed even without connections: the portal is personal, and served.
	pinned      bool
	connections int
	resting     *time.Timer        // ends the tenant; nil unless it has no connections
	stop        context.CancelFunc // nil until it runs
}

// serving is how a portal is served at present. It is immutable.
type serving struct {
	*portal.Portal
	commands Commands // carries out what its clients send; nil: it is ignored

	unmatched loglimit.Limiter // of log lines about signatures that match no key
	malformed loglimit.Limiter // of those about other wrong lists and tokens
}

// SetPortals serves the portals of a table from now on. Subscribers of a portal that is not in the
// table are asked to leave within some seconds. All others stay, even if their key or their limits
// have changed. It may be called at any time.
func (e *Edge) SetPortals(table *portal.Table) {
	next := make(map[*portal.Portal]*serving)
	for _, p := range table.All() {
		next[p] = &serving{Portal: p, unmatched: loglimit.Limiter{Interval: unmatchedInterval}, malformed: loglimit.Limiter{Interval: unmatchedInterval}}
		if e.config.Commands != nil {
			next[p].commands = e.config.Commands(p)
		}
	}
	e.portals.Store(&portals{table, next})
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tenants {
		now := next[table.Find(t.clientID)]
		// A table with one portal returns it for every name.
		removed := now == nil || now.Name() != t.name
		t.removed.Store(removed)
		if !removed {
			t.serving.Store(now)
		}
		t.pin(!removed && t.clientID == "")
	}
	if personal := table.Personal(); personal != nil {
		e.tenant(next[personal])
	}
}

// portals is what an edge serves at a time. It is immutable.
type portals struct {
	table   *portal.Table
	serving map[*portal.Portal]*serving
}

// find returns the portal of a client id; nil if it is not served.
func (p *portals) find(clientID string) *serving { return p.serving[p.table.Find(clientID)] }

// tenant returns the tenant of a portal, a new one if there is none. e.mu is held.
func (e *Edge) tenant(s *serving) *tenant {
	name := s.Name()
	t := e.tenants[name]
	if t != nil {
		return t
	}
	log := e.logs(name)
	t = &tenant{
		edge:     e,
		name:     name,
		clientID: s.ClientID,
		log:      log,
		users:    newUserLimits(),
		revoked:  newRevocations(),
		tally:    e.config.Book.Of(name),
		before:   e.ending[name],
		ended:    make(chan struct{}),
		heard:    e.config.Trail.Heard(name),
		asks:     rate.NewLimiter(portalAskRate, portalAskBurst),
	}
	t.hub = hub.New(guardedLog{log, t}, hub.Config{Stats: &e.hubStats, Pace: e.hubPace, Panics: e.config.Panics, Trail: e.hubTrail()})
	t.serving.Store(s)
	t.pin(s.ClientID == "")
	e.tenants[name] = t
	e.metrics.portalCalls.expect(name)
	e.shareMemory()
	if e.running != nil && !e.closed {
		t.start()
	}
	return t
}

// join returns the tenant for a new connection of a portal. It waits until the log notifies this
// edge, but not longer than syncPatience. A [tenant.part] must follow each join.
func (e *Edge) join(ctx context.Context, s *serving) *tenant {
	e.mu.Lock()
	t := e.tenant(s)
	t.connections++
	t.rest()
	pinned := t.pinned
	e.mu.Unlock()
	if pinned {
		// Until its log notifies, the edge is not ready: it gets subscribers only if there is no
		// other edge.
		return t
	}
	select {
	case <-t.hub.Synced():
	default:
		ctx, cancel := context.WithTimeout(ctx, syncPatience)
		defer cancel()
		select {
		case <-t.hub.Synced():
		case <-ctx.Done():
		}
	}
	return t
}

// part ends what join began. The tenant ends some time after its last connection.
func (t *tenant) part() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.connections--
	t.rest()
}

// pin sets whether the tenant's log is followed without connections too. e.mu is held.
func (t *tenant) pin(yes bool) {
	t.pinned = yes
	t.rest()
}

// rest starts or stops the timer that ends a tenant without connections. e.mu is held.
func (t *tenant) rest() {
	idle := t.connections == 0 && !t.pinned && t.edge.running != nil
	switch {
	case idle && t.resting == nil:
		t.resting = time.AfterFunc(tenantRest, t.end)
	case !idle && t.resting != nil:
		t.resting.Stop()
		t.resting = nil
	}
}

// end ends a tenant, unless it has a connection again.
func (t *tenant) end() {
	e := t.edge
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.connections > 0 || t.resting == nil || t.stop == nil {
		return
	}
	delete(e.tenants, t.name)
	e.shareMemory()
	e.ending[t.name] = t.ended
	t.stop()
}

// shareMemory divides the memory for recent messages evenly between the tenants. e.mu is held.
func (e *Edge) shareMemory() {
	for _, t := range e.tenants {
		t.hub.Remember(e.config.RecentBytes / len(e.tenants))
	}
}

// start starts following the log and keeping presence, until the edge or the tenant ends. edge.mu
// is held.
func (t *tenant) start() {
	ctx, stop := context.WithCancel(t.edge.running)
	t.stop = stop
	t.edge.following.Go(func() {
		defer stop()
		t.run(ctx)
	})
}

func (t *tenant) run(ctx context.Context) {
	e := t.edge
	defer func() {
		close(t.ended)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.ending[t.name] == t.ended {
			delete(e.ending, t.name)
		}
	}()
	if t.before != nil { // else it would remove the presence that this one writes
		<-t.before
	}
	var running sync.WaitGroup
	logger := e.logger.With("portal", t.name)
	running.Go(func() {
		_ = t.log.Follow(ctx, follower{t.hub, t, logger, ctx}) // its error is that of ctx
	})
	running.Go(func() { t.keepPresence(ctx) })
	running.Go(func() { t.keepRevoked(ctx) })
	running.Wait()
	t.hub.Close()
	t.heard.End()
}

// follower is the hub as the log calls it. It also logs whether the log notifies, defers wake-ups,
// counts the messages that make clients call the portal, and has sampled ones traced.
type follower struct {
	*hub.Hub
	tenant *tenant
	logger *slog.Logger
	ctx    context.Context // ends with the tenant
}

// Resync implements [proto.Follower]. It returns when the revocations have been read.
func (f follower) Resync(head proto.ID) {
	f.logger.Info("subscribed to the log", "head", head)
	f.tenant.refreshSurely(f.ctx)
	f.Hub.Resync(head)
}

// Down implements [proto.Follower].
func (f follower) Down(err error) {
	f.logger.Warn("subscription to the log lost", "error", err)
	f.Hub.Down(err)
}

// Dispatch implements [proto.Follower].
func (f follower) Dispatch(m *proto.Message) {
	queue := f.tenant.edge.shared.Queue
	queue.Defer()
	defer queue.Resume()
	f.tenant.heard.Note(m)
	if isRevocation(m) {
		f.tenant.revoked.note(m)
	}
	if tracer := f.tenant.edge.config.Tracer; tracer != nil && m.Trace != nil {
		defer tracer.Hear(m, f.tenant.name, f.Hub.Watchers(m.Receivers))()
	}
	f.Hub.Dispatch(m)
	if outdates(m) {
		f.tenant.edge.metrics.portalCalls.add(f.tenant.serving.Load(), callConfigNote, f.Hub.Watchers(m.Receivers))
	}
}
