// Package edge is the subscribers' side: it decides who may subscribe, and makes for each a
// session and a transport.
//
// Edge.mu is the only lock of this package that is held while another one is taken: those of
// tally.Book and of the store when a tenant is made, and that of the hub's recent messages when
// their memory is divided again. Nothing takes Edge.mu while it holds one of these.
package edge

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/contain"
	"pushgate/internal/edge/front"
	"pushgate/internal/handover"
	"pushgate/internal/hub"
	"pushgate/internal/loglimit"
	"pushgate/internal/netpoll"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/tally"
	"pushgate/internal/tracing"
	"pushgate/internal/trail"
	"pushgate/internal/transport"
)

// Log is the part of a portal's log that an edge uses. It is called concurrently.
type Log interface {
	hub.Log
	// Append puts messages into the log and notifies of them.
	Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error)
	// Follow calls f with the notifications of the log, until ctx ends.
	Follow(ctx context.Context, f proto.Follower) error
	// Revocations returns what the portal has put out, and the version of that. The list is nil if
	// it is still that of the version known.
	Revocations(ctx context.Context, known proto.ID) (list revoke.List, version proto.ID, err error)
	// SetPresence records how many sessions of an edge watch some channels, and renews the edge's
	// lease. With replace, changes has all channels of the edge. It returns the users that have
	// come or left by this write, counting all edges. kept is false if the lease had ended, and
	// what was recorded before has expired with it.
	SetPresence(ctx context.Context, edge string, changes []proto.Presence, replace bool) (moved []proto.Status, kept bool, err error)
}

// Stats is where an edge reports its numbers, under a lease.
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
	// Processes returns the reports whose lease has not ended, of edges and of other processes.
	Processes(ctx context.Context) ([]proto.Process, error)
}

// Config is the configuration of an edge.
type Config struct {
	ID           string          // its name, unique among the edges
	Grammar      channel.Grammar // of channel ids
	PollTimeout  time.Duration   // of a held poll: 40 s, because the known clients give up at 60 s
	PingInterval time.Duration   // of a WebSocket; two pings without an answer end it
	Drain        time.Duration   // window over which sessions are asked to leave
	Origins      []string        // host patterns of pages that may subscribe; "*" allows all
	Book         *tally.Book     // counts what clients send; it has the same name. Nil: a new one
	RecentBytes  int             // of messages kept for returning sessions, all portals together

	MaxConnections int   // more subscribers are refused; 0 is no limit
	MaxMemory      int64 // bytes; subscribers are refused well below. 0 is no limit
	Rebalance      int   // percent of its connections that it sheds in a minute if it has too many

	Commands func(p *portal.Portal) Commands // of its clients; nil: what they send is ignored

	RefusedHeads prometheus.Counter // of requests that no handler has seen; nil: a new one

	Trail *trail.Edge // remembers what was delivered; nil: nothing is remembered

	// Panics gets the panics in the work for one connection or one message, which are recovered:
	// the connection ends, the message is skipped. Nil: none is recovered.
	Panics contain.Report

	Tracer *tracing.Tracer // nil: none
}

// GCPercent is how many percent the heap of an edge may grow before garbage is collected. Most
// of the heap is connections at rest, which live long, and writing to them makes no garbage: with
// Go's usual 100, as much memory again would stay unused. 25 costs more time than 50, and saves
// little.
const GCPercent = 50

// maxChannels is how many ids one subscription may name. A browser names two or three.
const maxChannels = 128

// Edge serves the subscribers of portals.
type Edge struct {
	// Immutable after New.
	config  Config
	logs    func(portal string) Log
	stats   Stats
	logger  *slog.Logger
	metrics *metrics
	shared  *transport.Shared
	front   *front.Server
	pacer   *pacer
	replays *replays
	origins loglimit.Limiter // of log lines about pages of other sites

	portals  atomic.Pointer[portals]
	hubStats hub.Stats // of all tenants
	hubPace  *hub.Pace // likewise
	ceiling  ceiling
	moves    chan int // from Rebalance to Run: connections to move; immutable

	mu      sync.Mutex
	tenants map[string]*tenant         // by the names of their portals
	ending  map[string]<-chan struct{} // by name, tenants that are ending
	running context.Context            // of Run; nil before it
	closed  bool                       // no tenant starts any more, and no request is served

	following   sync.WaitGroup // tenants
	connections sync.WaitGroup // requests, goroutines of connections, and Run, which waits for both
	draining    atomic.Bool
	successor   atomic.Pointer[handover.Give] // takes WebSockets that are to leave; may be nil
	reported    atomic.Pointer[error]         // of the last report to Stats; nil before it
}

// New returns an edge for the portals of a table. logs returns the log of a portal by its name. The
// metrics are registered with reg. The edge works until [Edge.Run] ends.
func New(config Config, table *portal.Table, logs func(portal string) Log, stats Stats, logger *slog.Logger, reg prometheus.Registerer) *Edge {
	return newEdge(config, table, logs, stats, logger, reg, netpoll.New)
}

func newEdge(config Config, table *portal.Table, logs func(portal string) Log, stats Stats, logger *slog.Logger, reg prometheus.Registerer,
	newConns func(start func(func())) *netpoll.Set) *Edge {
	if config.RefusedHeads == nil {
		config.RefusedHeads = prometheus.NewCounter(prometheus.CounterOpts{Name: "refused_heads"})
	}
	if config.Book == nil {
		config.Book = tally.NewBook(config.ID, portal.Limits{}, time.Local)
	}
	e := &Edge{
		config:  config,
		logs:    logs,
		stats:   stats,
		logger:  logger,
		pacer:   newPacer(),
		replays: newReplays(),
		hubPace: hub.DefaultPace(),
		origins: loglimit.Limiter{Interval: unmatchedInterval},
		tenants: make(map[string]*tenant),
		ending:  make(map[string]<-chan struct{}),
		moves:   make(chan int),
	}
	conns := newConns(e.connections.Go)
	e.ceiling = ceiling{connections: int64(config.MaxConnections), memory: uint64(config.MaxMemory), used: usedMemory, open: conns.Open}
	e.shared = newShared(conns, config, e.handOverLate, reg)
	e.metrics = newMetrics(reg, e)
	e.front = front.New(front.Config{Handler: e.routes(), Conns: conns, Heartbeats: e.shared.Heartbeats, Panics: config.Panics,
		Admit: e.admit, Refused: func(int) { config.RefusedHeads.Inc() }})
	e.SetPortals(table)
	e.connections.Add(1)
	return e
}

// newShared makes what all connections have in common.
func newShared(conns *netpoll.Set, config Config, handOver func(*transport.WebSocket) bool, reg prometheus.Registerer) *transport.Shared {
	pings := max(5, int((config.PingInterval+maxInterval-1)/maxInterval))
	interval := config.PingInterval / time.Duration(pings)
	return &transport.Shared{
		Conns:      conns,
		Heartbeats: netpoll.NewHeartbeats(interval, config.Panics),
		Queue:      transport.NewQueue(conns.Start, runtime.GOMAXPROCS(0), config.Panics),
		Incoming:   transport.NewIncoming(config.MaxMemory),
		Metrics:    transport.NewMetrics(reg),
		Panics:     config.Panics,
		Followed:   config.Trail.Followed,
		Tracer:     config.Tracer,
		PingTicks:  pings,
		BeatTicks:  max(1, int(heartbeat/interval)),
		HandOver:   handOver,
	}
}

// maxInterval is how late a stuck write may be noticed.
const maxInterval = 5 * time.Second

// accept serves a new connection, which belongs to the edge from now on.
func (e *Edge) accept(conn net.Conn) {
	if !e.begin() {
		conn.Close()
		return
	}
	defer e.connections.Done()
	e.front.Accept(conn)
}

// begin makes Run wait until connections.Done is called. It reports false if Run waits no more:
// then nothing may be begun.
func (e *Edge) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.connections.Add(1)
	}
	return !e.closed
}

// Run follows the logs, pings, and keeps presence and statistics until ctx ends. Then it removes
// the presence of the edge, cuts the connections that are left, and returns when all goroutines of
// the edge have ended. It is called once.
func (e *Edge) Run(ctx context.Context) error {
	e.mu.Lock()
	e.running = ctx
	for _, t := range e.tenants {
		t.start()
	}
	e.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { e.shared.Heartbeats.Run(ctx) })
	running.Go(func() { e.keepStats(ctx) })
	running.Go(func() { e.keepBalance(ctx) })
	running.Go(func() { e.keepMoving(ctx) })
	running.Go(func() { e.ceiling.watch(ctx) })
	running.Wait()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.following.Wait()
	e.shared.Heartbeats.Close()
	e.shared.Conns.Close()
	e.connections.Done()
	e.connections.Wait()
	return nil
}

var (
	errDraining = errors.New("draining")
	errFull     = errors.New("no room for more connections")
)

// Ready returns why the edge should not get new subscribers; nil if it should.
func (e *Edge) Ready() error {
	if e.draining.Load() {
		return errDraining
	}
	if e.ceiling.reached() != "" {
		return errFull
	}
	return e.subscribed()
}

// subscribed returns why the log of a portal does not notify this edge; nil if all logs do. A log
// that has not notified yet counts only if its portal is pinned.
func (e *Edge) subscribed() error {
	tenants := e.present()
	if len(tenants) == 0 { // no log reports whether Redis works
		if err := e.reported.Load(); err != nil {
			return *err
		}
		return hub.ErrNotSynced
	}
	for _, t := range tenants {
		if err := t.hub.Ready(); err != nil && (t.pinned || !errors.Is(err, hub.ErrNotSynced)) {
			return err
		}
	}
	return nil
}

// present returns the tenants there are, so that their hubs can be asked without Edge.mu.
func (e *Edge) present() []*tenant {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.tenants))
}

// channels returns the number of channels that have a session here.
func (e *Edge) channels() (n int) {
	for _, t := range e.present() {
		n += t.hub.Channels()
	}
	return n
}

// webSockets returns the number of WebSockets that are connected.
func (e *Edge) webSockets() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tenants {
		n += int(t.numbers.webSockets.Load())
	}
	return n
}

// keepStats reports the numbers of this edge until ctx ends.
func (e *Edge) keepStats(ctx context.Context) {
	err := e.config.Book.Keep(ctx, e.stats, e.process, func(err error) {
		e.reported.Store(&err)
		if err != nil && ctx.Err() == nil {
			e.metrics.presenceErrors.Inc()
			e.logger.Warn("writing statistics failed", "error", err)
		}
	})
	if err != nil {
		e.logger.Warn("deregister failed; the lease will expire", "error", err)
	}
}

// process returns the numbers of this edge.
func (e *Edge) process() proto.Process {
	here := make(map[string]proto.Numbers)
	for _, t := range e.present() {
		here[t.name] = proto.Numbers{
			Channels:   t.hub.Channels(),
			WebSockets: int(t.numbers.webSockets.Load()),
			Polls:      int(t.numbers.polls.Load()),
		}
	}
	p := e.config.Book.Process(e.portals.Load().table, here)
	p.Edge = true
	return p
}

// deregister makes a last write to Redis after ctx has ended, within a second.
func (e *Edge) deregister(ctx context.Context, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := write(ctx); err != nil {
		e.logger.Warn("deregister failed; the lease will expire", "error", err)
	}
}

// wait waits for d. If ctx ends before, it returns why.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter returns a time between half of d and one and a half of it.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}
