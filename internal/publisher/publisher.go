// Package publisher is the senders' side: it takes posts of portals and of their clients into the log and tells who is online.
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
	"pushgate/internal/intake"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/tally"
	"pushgate/internal/urlpath"
)

// Log is what a publisher needs of a portal's log. It is called concurrently, and answers soon after its context has ended.
type Log interface {
	command.Log
	// SetSeen notes when users were last seen, if that was later than is known.
	SetSeen(ctx context.Context, seen ...proto.Seen) error
}

// Stats is where processes tell of themselves, under a lease. It is called concurrently.
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
	// Processes gives what all have told whose lease holds.
	Processes(ctx context.Context) ([]proto.Process, error)
}

// Config is what a publisher is told at its start. Zero sizes and times take their defaults.
type Config struct {
	Grammar       channel.Grammar // of channel ids; Alphanumeric also gives statistics the first generation's rules
	Rules         proto.TTLRules  // how long messages live by their type
	Allow         []netip.Prefix  // networks from which the personal portal posts without a signature
	Signed        bool            // posts need a signature wherever they come from
	Hosts         []string        // host patterns by which the publisher may be known, beside addresses and localhost; nil: any
	Window        time.Duration   // a signature needs a time, at most so far from now; 0: a time may be left out, and is held to five minutes if not
	MaxPosts      int64           // on their way into the log at a time; 4,096. Beyond it, posts are refused with 429
	MaxPostsBytes int64           // likewise, of their bodies; 256 MiB
	MaxUnproven   int64           // bytes of bodies of outsiders' posts whose signature has not been checked; 64 MiB. Beyond it, likewise
	Book          *tally.Book     // counts what is accepted, and has the name of the process; nil: one of its own without a name
	Timeout       time.Duration   // from a request that has been read to its answer; 800 ms, as PHP waits for a second
}

// withDefaults gives c with its zero sizes and times filled in.
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

// uploadTimeout is how long the body of a request may take to arrive, as in the original.
const uploadTimeout = 20 * time.Second

// Publisher serves the posts of portals.
type Publisher struct {
	// Immutable after New.
	config  Config
	logs    func(portal string) Log
	stats   Stats
	logger  *slog.Logger
	metrics *metrics
	router  http.Handler

	tenants atomic.Pointer[tenants]
	gates   *intake.Gates

	unproven unproven

	mu sync.Mutex // held while tenants is replaced

	failing atomic.Bool // the last answer of the log was an error
}

// New makes a publisher for the portals of a table, whose logs it has from logs by their names. Its metrics are registered with reg.
func New(config Config, table *portal.Table, logs func(portal string) Log, stats Stats, logger *slog.Logger, reg prometheus.Registerer) *Publisher {
	config = config.withDefaults()
	p := &Publisher{
		config: config,
		logs:   logs,
		stats:  stats,
		logger: logger,
		gates:  intake.New(config.MaxPosts, config.MaxPostsBytes),
	}
	p.unproven.limit = p.config.MaxUnproven
	p.metrics = newMetrics(reg, p.gates, &p.unproven)
	p.SetPortals(table)
	r := chi.NewRouter()
	for _, route := range []string{"/bitrix/pub", "/pub"} {
		handle(r, http.MethodPost, route, p.publish)
		handle(r, http.MethodGet, route, p.online)
	}
	for _, route := range []string{"/bitrix/api", "/api"} {
		handle(r, http.MethodPost, route, p.api)
	}
	for _, route := range []string{"/bitrix/rest", "/rest", "/bitrix/pubweb", "/pubweb"} {
		handle(r, http.MethodPost, route, p.clientBatch)
		handle(r, http.MethodOptions, route, preflight)
	}
	handle(r, http.MethodGet, "/server-stat", p.processes)
	handle(r, http.MethodPost, "/register-client", p.register)
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)
	p.router = r
	return p
}

// handle has a handler serve a route and all that lies below it: portals have it with and without a
// slash before the query.
func handle(r chi.Router, method, route string, handler http.HandlerFunc) {
	r.Method(method, route, handler)
	r.Method(method, route+"/*", handler)
}

// Handler serves the public paths, each with all that lies below it. Every other path or method is
// not found.
func (p *Publisher) Handler() http.Handler { return http.HandlerFunc(p.serve) }

// serve bounds how long a body may take to arrive, on every path: net/http reads what a handler
// leaves of it. A path that a proxy may have taken for another one is not found.
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
		p.refuse(w, unknownHost)
		return
	}
	p.router.ServeHTTP(w, r)
}

// Run keeps the publisher's statistics until ctx ends, and then takes them away. Posts are served with or without it. It is called once.
func (p *Publisher) Run(ctx context.Context) error {
	now := func() proto.Process { return p.config.Book.Process(p.tenants.Load().table, nil) }
	err := p.config.Book.Keep(ctx, p.stats, now, func(err error) {
		if err != nil && ctx.Err() == nil {
			p.logger.Warn("statistics not written", "error", err)
		}
	})
	if err != nil {
		p.logger.Warn("deregister failed; lease will expire", "error", err)
	}
	return nil
}

// Ready says why the publisher cannot accept posts now; nil if it can. It asks Redis.
func (p *Publisher) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.Timeout)
	defer cancel()
	first := p.tenants.Load().table.All()[0] // they share one Redis
	if _, err := p.logs(first.Name()).Online(ctx, nil); err != nil {
		return fmt.Errorf("the log does not answer: %w", err)
	}
	return nil
}

// note tells the log of the process when the log in Redis begins to fail, and when it works again: a line for each request
// would bury what else is to be read. Metrics count them.
func (p *Publisher) note(err error) {
	if failing := err != nil; p.failing.Load() == failing || p.failing.Swap(failing) == failing {
		return
	}
	if err != nil {
		p.logger.Warn("the log in Redis does not answer; portals are told to come again", "error", err)
	} else {
		p.logger.Info("the log in Redis answers again")
	}
}
