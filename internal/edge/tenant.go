package edge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushgate/internal/hub"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
	"pushgate/internal/transport"
)

const (
	// tenantRest is how long an edge goes on following a portal that has nobody here any more: a page change, or the pause between two polls,
	// is no reason to subscribe anew.
	tenantRest = time.Minute
	// syncPatience is how long the first comers of a portal wait for its log to notify this edge. Without it, what is published in that
	// moment would pass by those of them who brought no cursor.
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
	tally    *tally.Tally
	before   <-chan struct{} // closed when an earlier tenant of the same name has ended; nil if there was none
	ended    chan struct{}   // closed when this one has

	serving atomic.Pointer[serving] // at present, or the last time
	removed atomic.Bool             // it is not served any more
	recent  recent
	gapLog  gapLog
	asks    *rate.Limiter // immutable: of all its connections

	batchLog, callLog logLimiter                               // of those that failed
	numbers           struct{ webSockets, polls atomic.Int64 } // of connections

	// Guarded by edge.mu.
	pinned      bool // it is followed whether it has connections or not: it is personal, and served
	connections int
	resting     *time.Timer        // ends the tenant; nil unless it has no connections
	stop        context.CancelFunc // nil until it runs
}

// serving is how a portal is served at present. It is immutable.
type serving struct {
	*portal.Portal
	commands Commands // carries out what its clients send; nil: it is ignored
}

// SetPortals has the portals of a table served from now on. Subscribers of a portal that is not among them are told to go, over some seconds;
// all others stay, with their old limits and whatever key their ids were signed with. It may be called at any time.
func (e *Edge) SetPortals(table *portal.Table) {
	next := make(map[*portal.Portal]*serving)
	for _, p := range table.All() {
		next[p] = &serving{Portal: p}
		if e.config.Commands != nil {
			next[p].commands = e.config.Commands(p)
		}
	}
	e.portals.Store(&portals{table, next})
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tenants {
		now := next[table.Find(t.clientID)]
		removed := now == nil || now.Name() != t.name // where one portal is alone, every name finds it
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

// find gives the portal of a client id; nil if it is not served.
func (p *portals) find(clientID string) *serving { return p.serving[p.table.Find(clientID)] }

// tenant gives the tenant of a portal, a new one if need be. e.mu is held.
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
		hub:      hub.New(log, hub.Config{Stats: &e.hubStats, Pace: e.hubPace, Panics: e.config.Panics}),
		users:    newUserLimits(),
		tally:    e.config.Book.Of(name),
		before:   e.ending[name],
		ended:    make(chan struct{}),
		asks:     rate.NewLimiter(portalAskRate, portalAskBurst),
	}
	t.serving.Store(s)
	t.pin(s.ClientID == "")
	e.tenants[name] = t
	e.shareMemory()
	if e.running != nil && !e.closed {
		t.start()
	}
	return t
}

// join gives the tenant that serves a portal's new connection, once its log notifies this edge or has been waited for in vain. Every join is
// followed by a [tenant.part].
func (e *Edge) join(ctx context.Context, s *serving) *tenant {
	e.mu.Lock()
	t := e.tenant(s)
	t.connections++
	t.rest()
	pinned := t.pinned
	e.mu.Unlock()
	if pinned { // an edge that has it says that it is not ready, and is given subscribers all the same only if there is no other
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

// part takes a connection off, and the tenant some time after its last one.
func (t *tenant) part() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.connections--
	t.rest()
}

// pin says whether a tenant is followed without connections too. e.mu is held.
func (t *tenant) pin(yes bool) {
	t.pinned = yes
	t.rest()
}

// rest has the tenant end some time from now if nothing keeps it, and not otherwise. e.mu is held.
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

// end ends a tenant that nobody has come back to.
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

// shareMemory gives each tenant its part of the memory for recent messages. e.mu is held.
func (e *Edge) shareMemory() {
	for _, t := range e.tenants {
		t.hub.Remember(e.config.RecentBytes / len(e.tenants))
	}
}

// start has the tenant's log followed and its presence kept, until the edge's end or its own. edge.mu is held.
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
	if t.before != nil { // or it would take away what this one is going to write
		<-t.before
	}
	var running sync.WaitGroup
	logger := e.logger.With("portal", t.name)
	running.Go(func() { _ = t.log.Follow(ctx, follower{t.hub, e.shared.Queue, logger}) }) // its error is that of ctx
	running.Go(func() { t.keepPresence(ctx) })
	running.Wait()
	t.hub.Close()
}

// follower is the hub, with a word to the log about its link, and with the queue.
type follower struct {
	*hub.Hub
	queue  *transport.Queue
	logger *slog.Logger
}

// Resync implements [proto.Follower].
func (f follower) Resync(head proto.ID) {
	f.logger.Info("subscribed to the log", "head", head)
	f.Hub.Resync(head)
}

// Down implements [proto.Follower].
func (f follower) Down(err error) {
	f.logger.Warn("the log does not notify", "error", err)
	f.Hub.Down(err)
}

// Dispatch implements [proto.Follower].
func (f follower) Dispatch(m *proto.Message) {
	defer f.queue.Defer()()
	f.Hub.Dispatch(m)
}
