// Package edge is the subscribers' side: it holds their connections and writes to each what its session gives.
package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

// Log is what an edge needs of a portal's log. It is called concurrently.
type Log interface {
	hub.Log
	// Append puts messages into the log and notifies of them.
	Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error)
	// Follow tells f what the log notifies of, until ctx ends.
	Follow(ctx context.Context, f proto.Follower) error
	// SetPresence notes how many sessions of an edge watch some channels, and renews the edge's lease; with replace, these
	// are all that it has. It reports false if the lease had ended, and with it what was noted before; and which users came or
	// left by it, as far as all edges are concerned.
	SetPresence(ctx context.Context, edge string, changes []proto.Presence, replace bool) (moved []proto.Status, kept bool, err error)
}

// Stats is where an edge tells of itself, under a lease.
type Stats interface {
	PutEdge(ctx context.Context, stats proto.EdgeStats) error
	DropEdge(ctx context.Context, id string) error
	// Edges gives what all edges tell whose lease holds.
	Edges(ctx context.Context) ([]proto.EdgeStats, error)
}

// Config is what an edge is told at its start.
type Config struct {
	ID           string          // its name, unique among the edges
	Grammar      channel.Grammar // of channel ids
	PollTimeout  time.Duration   // how long a poll is held: 40 s for the known clients, which give up at 60 s
	PingInterval time.Duration   // between control pings on a WebSocket; two without an answer end it
	Drain        time.Duration   // window over which sessions are told to go
	Origins      []string        // host patterns of pages that may open a WebSocket; "*" allows all
	RecentBytes  int             // of messages that are kept for sessions that were away for a moment, all portals together; 0 keeps none

	MaxConnections int   // that the process holds before it turns subscribers away; 0 is no limit
	MaxMemory      int64 // bytes that the process may take; it turns subscribers away well before. 0 is no limit
	Rebalance      int   // percentage of its connections that an edge sheds in a minute while it has more than the others; 0 is none

	Commands func(p *portal.Portal) Commands // gives who carries out what the clients of a portal send; nil: it is ignored
}

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
	wheel   *wheel
	pacer   *pacer

	portals  atomic.Pointer[portals]
	hubStats hub.Stats // of all tenants
	hubPace  *hub.Pace // likewise
	ceiling  ceiling

	mu      sync.Mutex
	tenants map[string]*tenant         // by the names of their portals
	ending  map[string]<-chan struct{} // by name, tenants that are on their way out
	running context.Context            // of Run; nil before it
	closed  bool                       // no tenant starts any more

	following   sync.WaitGroup // tenants
	connections sync.WaitGroup // goroutines of connections, and one for Run, which waits for them
	draining    atomic.Bool
	numbers     struct{ webSockets, polls atomic.Int64 }
	packets     packets
	told        atomic.Pointer[error] // what became of the last attempt to tell of this edge; nil before the first one
}

// New makes an edge for the portals of a table, whose logs it has from logs by their names. Its metrics are registered with reg.
func New(config Config, table *portal.Table, logs func(portal string) Log, stats Stats, logger *slog.Logger, reg prometheus.Registerer) *Edge {
	e := &Edge{
		config:  config,
		logs:    logs,
		stats:   stats,
		logger:  logger,
		wheel:   newWheel(config.PingInterval),
		pacer:   newPacer(),
		hubPace: hub.DefaultPace(),
		ceiling: ceiling{connections: int64(config.MaxConnections), memory: uint64(config.MaxMemory), used: usedMemory},
		tenants: make(map[string]*tenant),
		ending:  make(map[string]<-chan struct{}),
	}
	e.metrics = newMetrics(reg, e)
	e.Serve(table)
	e.connections.Add(1)
	return e
}

// Handler serves the public paths. No middleware is around them: it would hold state for as long as a subscriber stays.
func (e *Edge) Handler() http.Handler {
	r := chi.NewRouter()
	for _, prefix := range []string{"/bitrix/sub/", "/bitrix/subws/", "/sub/", "/subws/"} {
		r.Get(prefix+"*", e.subscribe)
		r.Options(prefix+"*", preflight)
	}
	for _, prefix := range []string{"/bitrix/sse/", "/sse/"} {
		r.Get(prefix+"*", e.stream)
		r.Options(prefix+"*", preflight)
	}
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)
	return r
}

// Run follows the logs, pings, and keeps presence and statistics until ctx ends. Then it cuts the connections that are left,
// takes its presence away and returns. It is called once.
func (e *Edge) Run(ctx context.Context) error {
	e.mu.Lock()
	e.running = ctx
	for _, t := range e.tenants {
		t.start()
	}
	e.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { e.wheel.run(ctx) })
	running.Go(func() { e.keepStats(ctx) })
	running.Go(func() { e.keepBalance(ctx) })
	running.Go(func() { e.ceiling.watch(ctx) })
	running.Wait()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.following.Wait()
	e.wheel.close()
	e.connections.Done()
	e.connections.Wait()
	return nil
}

var (
	errDraining = errors.New("draining")
	errFull     = errors.New("no room for more connections")
)

// Ready says why the edge should not be given new subscribers; nil if it should.
func (e *Edge) Ready() error {
	if e.draining.Load() {
		return errDraining
	}
	if e.ceiling.reached(e.apart()) != "" {
		return errFull
	}
	return e.subscribed()
}

// subscribed says why the log of a portal that has been followed for a while does not notify this edge; nil if all do.
func (e *Edge) subscribed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.tenants) == 0 { // nobody's log says whether Redis is there
		if err := e.told.Load(); err != nil {
			return *err
		}
		return hub.ErrNotSynced
	}
	for _, t := range e.tenants {
		if err := t.hub.Ready(); err != nil && (t.pinned || !errors.Is(err, hub.ErrNotSynced)) {
			return err
		}
	}
	return nil
}

// channels gives the number of channels that have a session here.
func (e *Edge) channels() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tenants {
		n += t.hub.Channels()
	}
	return n
}

// Drain tells all sessions to go, evenly over the window of the configuration, and returns when they are gone or ctx ends.
// Whoever comes meanwhile is served, and told to go in turn: it found no other edge.
func (e *Edge) Drain(ctx context.Context) {
	e.draining.Store(true)
	end := time.Now().Add(e.config.Drain)
	for {
		members := e.wheel.members()
		if len(members) == 0 {
			return
		}
		start := time.Now()
		step := max(end.Sub(start), 0) / time.Duration(len(members))
		for i, m := range members {
			// Somewhere within its step of the window.
			at := start.Add(time.Duration(i)*step + jitter(step) - step/2)
			if wait(ctx, time.Until(at)) != nil {
				return
			}
			m.leave()
		}
		if wait(ctx, 20*time.Millisecond) != nil { // those that were told are going
			return
		}
	}
}

// keepStats tells of this edge every 10 s; the lease is three times as long.
func (e *Edge) keepStats(ctx context.Context) {
	for {
		err := e.stats.PutEdge(ctx, proto.EdgeStats{
			PID:        os.Getpid(),
			Date:       time.Now().UnixMilli(),
			ID:         e.config.ID,
			Channels:   e.channels(),
			Polls:      int(e.numbers.polls.Load()),
			WebSockets: int(e.numbers.webSockets.Load()),
		})
		e.told.Store(&err)
		if err != nil && ctx.Err() == nil {
			e.metrics.presenceErrors.Inc()
			e.logger.Warn("statistics not written", "error", err)
		}
		if wait(ctx, jitter(10*time.Second)) != nil {
			break
		}
	}
	e.lastWord(ctx, func(ctx context.Context) error { return e.stats.DropEdge(ctx, e.config.ID) })
}

// lastWord gives a write at the end of ctx a second more.
func (e *Edge) lastWord(ctx context.Context, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := write(ctx); err != nil {
		e.logger.Warn("not taken away from Redis; the lease will", "error", err)
	}
}
