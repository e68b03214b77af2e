// Package publisher is the senders' side: it appends posts of portals and of their clients to the
// log, and answers who is online.
package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/hostname"
	"pushgate/internal/intake"
	"pushgate/internal/policy"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/tally"
	"pushgate/internal/tracing"
	"pushgate/internal/trail"
	"pushgate/internal/urlpath"
)

// Log is the part of a portal's log that a publisher uses. Its methods must be safe for concurrent
// use, and return soon after their context has ended.
type Log interface {
	command.Log
	// SetSeen records when users were last seen, if that was later than is known.
	SetSeen(ctx context.Context, seen ...proto.Seen) error
	// Revoke puts out an entry until a time, Lift takes it back. The error is [revoke.ErrFull] if
	// there are too many.
	Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error
	Lift(ctx context.Context, entry revoke.Entry) error
	// Revocations returns what is put out, and the version of that; nil if it is the version known.
	Revocations(ctx context.Context, known proto.ID) (revoke.List, proto.ID, error)
	// RevokedAny reports whether one of some entries is put out now.
	RevokedAny(ctx context.Context, entries ...revoke.Entry) (bool, error)
}

// Stats stores the statistics of processes, under a lease. Its methods must be safe for concurrent
// use.
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
	// Processes returns the statistics of all processes whose lease holds.
	Processes(ctx context.Context) ([]proto.Process, error)
}

// Config configures a publisher. Zero sizes and times take their defaults.
type Config struct {
	// Grammar of channel ids; with Alphanumeric, statistics also follow the first generation's
	// rules.
	Grammar channel.Grammar
	Rules   policy.TTLRules // how long messages live, by type
	// Networks from which the personal portal posts without a signature.
	Allow  []netip.Prefix
	Signed bool // posts need a signature wherever they come from
	// Patterns of the hosts that requests may name, beside addresses, localhost and SharedHost.
	// nil: any.
	Hosts []string
	// Host, perhaps with a port, that portals in shared mode are to use; empty: they cannot ask.
	SharedHost string
	// Signatures need a time, at most this far from now; 0: they may lack one, else five minutes
	// hold.
	Window time.Duration
	// Most posts on their way into the log; 4,096. Beyond it, posts are refused with 429.
	MaxPosts      int64
	MaxPostsBytes int64 // likewise, of their bodies; 256 MiB
	// Bytes of bodies of outsiders' posts whose signature has not been checked; 64 MiB. Beyond it,
	// likewise.
	MaxUnproven int64
	// Counts what is accepted, under the name of the process; nil: a new one without a name.
	Book *tally.Book
	// Most time from a request that has been read to its answer; 800 ms, as PHP waits for a second.
	Timeout time.Duration
	Trail   *trail.Posts    // remembers what became of posts; nil: nothing is remembered
	Mirror  Mirror          // gets a copy of each accepted post; nil: none
	Tracer  *tracing.Tracer // nil: none
}

// withDefaults returns c with its zero sizes and times set to their defaults.
func (c Config) withDefaults() Config {
	if c.MaxPosts == 0 {
		c.MaxPosts = 4096
	}
	if c.MaxPostsBytes == 0 {
		c.MaxPostsBytes = 256 << 20
	}
	if c.MaxUnproven == 0 {
		c.MaxUnproven = 64 << 20
	}
	if c.Book == nil {
		c.Book = tally.NewBook("", portal.Limits{}, time.Local)
	}
	if c.Timeout == 0 {
		c.Timeout = 800 * time.Millisecond
	}
	return c
}

// uploadTimeout bounds the time in which the body of a request must arrive, as in the original.
const uploadTimeout = 20 * time.Second

// Publisher serves the posts of portals.
type Publisher struct {
	// Immutable after New.
	config  Config
	logs    func(portal string) Log
	stats   Stats
	logger  *slog.Logger
	metrics *metrics
	notices notices // about requests of no portal
	router  http.Handler

	tenants atomic.Pointer[tenants]
	gates   *intake.Gates

	unproven unproven

	mu sync.Mutex // held while tenants is replaced

	failing atomic.Bool // the last answer of the log was an error
}

// New returns a publisher for the portals of a table. It gets their logs by name from logs, and
// registers its metrics with reg.
func New(config Config, table *portal.Table, logs func(portal string) Log, stats Stats, logger *slog.Logger, reg prometheus.Registerer) *Publisher {
	config = config.withDefaults()
	p := &Publisher{
		config:  config,
		logs:    logs,
		stats:   stats,
		logger:  logger,
		gates:   intake.New(config.MaxPosts, config.MaxPostsBytes),
		notices: newNotices(),
	}
	p.unproven.limit = p.config.MaxUnproven
	p.metrics = newMetrics(reg, p.gates, &p.unproven)
	p.SetPortals(table)
	r := chi.NewRouter()
	for _, route := range []string{"/bitrix/pub", "/pub"} {
		handle(r, http.MethodPost, route, p.traced(route, p.publish))
		handle(r, http.MethodGet, route, p.online)
	}
	for _, route := range []string{"/bitrix/api", "/api"} {
		handle(r, http.MethodPost, route, p.traced(route, p.api))
	}
	for _, route := range []string{"/bitrix/rest", "/rest", "/bitrix/pubweb", "/pubweb"} {
		handle(r, http.MethodPost, route, p.traced(route, p.clientBatch))
		handle(r, http.MethodOptions, route, preflight)
	}
	handle(r, http.MethodGet, "/server-stat", p.processes)
	handle(r, http.MethodPost, "/register-client", p.register)
	if config.SharedHost != "" {
		r.Get("/hostname", p.answerHost(config.SharedHost))
		r.Get("/servers", p.answerHost(config.SharedHost+";"+region))
	}
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)
	p.router = r
	return p
}

// handle registers a handler for a route and all paths below it: portals use it with and without a
// slash before the query.
func handle(r chi.Router, method, route string, handler http.HandlerFunc) {
	r.Method(method, route, handler)
	r.Method(method, route+"/*", handler)
}

// Handler returns the handler of the public paths, each with all paths below it. It answers any
// other path or method with 404.
func (p *Publisher) Handler() http.Handler { return http.HandlerFunc(p.serve) }

// serve bounds the time in which a body must arrive, on every path: net/http reads what a handler
// leaves of it. A path that a proxy may have read differently gets 404.
func (p *Publisher) serve(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// An error means that w has no connection, in tests.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTimeout))
	}
	if urlpath.Ambiguous(r.URL) {
		notFound(w, r)
		return
	}
	if !p.hostAllowed(r) {
		p.logRefused(p.notices, r, unknownHost, hostRemedy, "host", channel.Quote(hostname.Of(r.Host)))
		p.refuse(w, unknownHost)
		return
	}
	p.router.ServeHTTP(w, r)
}

// Run publishes the process's statistics until ctx ends, and then removes them; beside it, the
// mirror runs. Posts are served with or without it. It must be called once.
func (p *Publisher) Run(ctx context.Context) error {
	if p.config.Mirror != nil {
		var mirror sync.WaitGroup
		mirror.Go(func() { p.config.Mirror.Run(ctx) })
		defer mirror.Wait()
	}
	now := func() proto.Process { return p.config.Book.Process(p.tenants.Load().table, nil) }
	err := p.config.Book.Keep(ctx, p.stats, now, func(err error) {
		if err != nil && ctx.Err() == nil {
			p.logger.Warn("writing statistics failed", "error", err)
		}
	})
	if err != nil {
		p.logger.Warn("deregister failed; the lease will expire", "error", err)
	}
	return nil
}

// Trail returns what this publisher remembers of posts; nil if it remembers nothing.
func (p *Publisher) Trail() *trail.Posts { return p.config.Trail }

// Ready returns nil if the publisher can accept posts now, else an error that says why not. It asks
// Redis.
func (p *Publisher) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.Timeout)
	defer cancel()
	first := p.tenants.Load().table.All()[0] // they share one Redis
	if _, err := p.logs(first.Name()).Online(ctx, nil); err != nil {
		return fmt.Errorf("the log does not answer: %w", err)
	}
	return nil
}
