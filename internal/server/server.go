// Package server builds and runs an edge, a publisher, or both in one process from their settings.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/command"
	"pushgate/internal/config"
	"pushgate/internal/edge"
	"pushgate/internal/explain"
	"pushgate/internal/fleet"
	"pushgate/internal/handover"
	"pushgate/internal/history"
	"pushgate/internal/intake"
	"pushgate/internal/mirror"
	"pushgate/internal/netpoll/socket"
	"pushgate/internal/ops"
	"pushgate/internal/portal"
	"pushgate/internal/publisher"
	"pushgate/internal/store"
	"pushgate/internal/tally"
	"pushgate/internal/tracing"
	"pushgate/internal/trail"
)

// RunEdge runs an edge with the settings of environ until SIGTERM, and returns the exit code of its
// program.
func RunEdge(environ []string) int { return runEdge(environ, nil) }

func runEdge(environ, notes []string) int {
	cfg, err := config.LoadEdge(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	cfg.MaxConnections = ops.MaxConnections(cfg.MaxConnections)
	cfg.MaxMemory = ops.MaxMemory(cfg.MaxMemory)
	ops.CollectAt(edge.GCPercent)
	if cfg.Handover != "" {
		// The successor runs at the same time with the same setting.
		cfg.ID = fmt.Sprintf("%s.%06x", cfg.ID, rand.Uint32N(1<<24))
	}
	return run(cfg, notes, edgeService(cfg))
}

// edgeService returns a function that makes the service of an edge.
func edgeService(cfg config.Edge) func(base) (ops.Service, error) {
	return func(b base) (ops.Service, error) {
		e := NewEdge(cfg, b.portals, b.store, b.tracer, b.logger, b.registry)
		b.rebalances(cfg.ID, e)
		explain.Parts{Edge: e}.Register(b.fleet)
		service := ops.Service{Name: "edge", Listen: cfg.Listen, Port: e, Ready: e.Ready, Run: e.Run,
			Leaving: ops.Leaving{Drain: e.Drain, Timeout: cfg.Drain + edge.CloseGrace}, Reload: b.reload(cfg.Portals, e)}
		if cfg.Handover == "" {
			return service, nil
		}
		succession, err := handover.Open(cfg.Handover, ops.Listen, b.logger)
		if err != nil {
			return ops.Service{}, err
		}
		service.Bind = succession.Listen
		service.Run = func(ctx context.Context) error { return runSuccession(ctx, e, succession, b.leave) }
		return service, nil
	}
}

// runSuccession runs an edge that takes over from a predecessor and hands over to a successor.
func runSuccession(ctx context.Context, e *edge.Edge, succession *handover.Succession, leave func(error)) error {
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() {
		if err := succession.Run(ctx, e, func() { leave(errSucceeded) }); err != nil {
			leave(err)
		}
	})
	return e.Run(ctx)
}

// errSucceeded is the cause when an edge leaves because it has handed over.
var errSucceeded = errors.New("another process has taken over")

// RunPublisher runs a publisher with the settings of environ until SIGTERM, and returns the exit
// code of its program.
func RunPublisher(environ []string) int { return runPublisher(environ, nil) }

func runPublisher(environ, notes []string) int {
	cfg, err := config.LoadPublisher(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	return run(cfg, notes, publisherService(cfg))
}

// publisherService returns a function that makes the service of a publisher.
func publisherService(cfg config.Publisher) func(base) (ops.Service, error) {
	return func(b base) (ops.Service, error) {
		p := NewPublisher(cfg, b.portals, b.store, b.tracer, b.logger, b.registry)
		explain.Parts{Posts: p.Trail()}.Register(b.fleet)
		port := ops.NewPort(p.Handler(), b.registry, b.logger)
		return ops.Service{Name: "publisher", Listen: cfg.Listen, Port: rawPort{port}, Ready: p.Ready, Run: p.Run,
			Leaving: ops.Leaving{Retire: port.Retire, Timeout: cfg.Drain}, Reload: b.reload(cfg.Portals, p)}, nil
	}
}

// rawPort serves connections of package socket, which save a part of the cost of a post.
type rawPort struct{ *ops.HTTPPort }

// Serve implements [ops.Port].
func (p rawPort) Serve(listener net.Listener) error {
	return p.Server.Serve(socket.Listener{Listener: listener})
}

// base is what the service of a program is built on.
type base struct {
	store    *store.Store
	portals  *portal.Table
	tracer   *tracing.Tracer // nil: none
	logger   *slog.Logger
	registry prometheus.Registerer // of what the service counts
	informed []informed            // what else learns which portals are served
	fleet    *fleet.Fleet          // its Handle may be called
	leave    func(error)           // ends the service, with a reason
}

// rebalances makes the process answer requests to move connections of its edge to others.
func (b base) rebalances(process string, e *edge.Edge) {
	b.fleet.Handle(admin.Rebalance, func(ctx context.Context, _ fleet.Question) (any, error) {
		moving, err := e.Rebalance(ctx)
		return map[string]any{"process": process, "moving": moving}, err
	})
}

// run runs the service that build makes over a store, with what every program has around it, and
// returns the exit code of the program. It logs notes first: what the operator should know about
// the settings.
func run(cfg settings, notes []string, build func(base) (ops.Service, error)) int {
	level := new(slog.LevelVar)
	level.Set(cfg.Base().LogLevel)
	logger := ops.NewLogger(os.Stderr, cfg.Base().LogFormat, level)
	for _, note := range notes {
		logger.Info("settings of the original server", "note", note)
	}
	return ops.Main(logger, func(ctx context.Context) error { return serve(ctx, cfg, level, logger, ops.NewRegistry(), build) })
}

// serve runs the service that build makes until ctx ends. level is that of logger, and may be
// changed by the admin port. Its metrics are registered with registry.
func serve(ctx context.Context, program settings, level *slog.LevelVar, logger *slog.Logger, registry *prometheus.Registry, build func(base) (ops.Service, error)) error {
	cfg := program.Base()
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	store.LogTo(logger)
	figures := history.NewFigures()
	counted := figures.Registerer(registry)
	st, closeStore, err := Open(cfg, logger, counted)
	if err != nil {
		return err
	}
	defer closeStore()
	table, err := cfg.Portals()
	if err != nil {
		return err
	}
	keys := newShortKeys(registry, logger)
	keys.SetPortals(table)
	redis := newWatch(st, cfg.RedisStrict, registry, logger)
	if cfg.RedisStrict {
		if err := redis.look(ctx); errors.Is(err, errRisk) {
			return err
		}
	}
	others := fleet.New(st, cfg.ID, logger)
	panics := ops.Panics(registry, logger)
	others.ReportPanics(panics)
	recorder := history.NewRecorder(figures, st, cfg.ID, logger, panics)
	listed := newPortals(table, st, logger)
	revoked := newRevocations(st, cfg.Grammar, table, logger)
	tracer := newTracer(cfg, logger, counted)
	service, err := build(base{st, table, tracer, logger, counted, []informed{keys, listed, revoked}, others, leave})
	if err != nil {
		return err
	}
	service.Admin = ops.Admin{Listen: cfg.AdminListen, Registry: registry, Details: redis.details,
		Guard: newGuard(program, st, operated{fleet: others, portals: listed, revoked: revoked, leave: leave,
			status: status{kind: service.Name, id: cfg.ID, ready: service.Ready, leaving: func() bool { return ctx.Err() != nil },
				level: level, figures: figures, clock: recorder.Clock}}, level, logger, registry,
			newExplainer(st, others, listed.table.Load, logger).Routes()...)}
	service.Logger = logger
	service.Run = traced(tracer, beside(service.Run, func(ctx context.Context) { redis.run(ctx, leave) }, others.Run, recorder.Run))
	if err := service.Serve(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); errors.Is(cause, handover.ErrStays) || errors.Is(cause, errRisk) {
		return cause
	}
	return nil
}

// beside returns a function that runs run, and all of more as long as run runs.
func beside(run func(context.Context) error, more ...func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		var running sync.WaitGroup
		defer running.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		for _, f := range more {
			running.Go(func() { f(ctx) })
		}
		return run(ctx)
	}
}

// informed learns which portals are served. It may be called concurrently with everything else.
type informed interface{ SetPortals(table *portal.Table) }

// reload returns a function that reads the file of portals, and informs a server and all others.
func (b base) reload(read func() (*portal.Table, error), server informed) func() error {
	return func() error {
		table, err := read()
		if err != nil {
			return err
		}
		for _, one := range append([]informed{server}, b.informed...) {
			one.SetPortals(table)
		}
		return nil
	}
}

// Open makes the store of a program. The returned function closes it.
func Open(cfg config.Common, logger *slog.Logger, registry prometheus.Registerer) (*store.Store, func(), error) {
	rdb, err := store.Open(cfg.RedisURL)
	if err != nil {
		return nil, nil, err
	}
	st := store.New(rdb, store.Config{ChannelCap: cfg.ChannelCap, WriteWindow: cfg.WriteWindow, Replicas: cfg.Replicas,
		Damaged: ops.DamagedRecords(registry, logger), Heard: ops.Canary(registry),
		Panics: ops.Panics(registry, logger)})
	return st, func() { _ = rdb.Close() }, nil
}

// NewEdge makes an edge for the portals of a table, over a store. Without a tracer it traces
// nothing.
func NewEdge(cfg config.Edge, table *portal.Table, st *store.Store, tracer *tracing.Tracer, logger *slog.Logger, registry prometheus.Registerer) *edge.Edge {
	book := tally.NewBook(cfg.ID, portal.Limits{Payload: cfg.MaxPayload, Messages: cfg.MaxMessages, Channels: cfg.MaxChannels,
		Connections: cfg.MaxConnectionsPerUser}, time.Local)
	gates := intake.New(int64(cfg.MaxPosts), cfg.MaxPostsBytes)
	var remembered *trail.Edge
	if cfg.TrailBytes > 0 {
		remembered = trail.NewEdge(cfg.TrailBytes, cfg.TTLRules.Rule)
	}
	commands := func(p *portal.Portal) edge.Commands {
		return command.New(command.Config{Signer: p.Signer, Rules: cfg.TTLRules, MaxPayload: p.Limits.Payload,
			MaxMessages: p.Limits.Messages, MaxChannels: p.Limits.Channels, Tally: book.Of(p.Name())},
			intake.Log{Log: st.Log(p.Name()), Gate: gates.Of(p.Name(), p.Limits), Portal: p.Name(), Trail: remembered.Posts()}, nil)
	}
	return edge.New(edge.Config{
		ID:           cfg.ID,
		Grammar:      cfg.Grammar,
		PollTimeout:  cfg.PollTimeout,
		PingInterval: cfg.PingInterval,
		Drain:        cfg.Drain,
		Origins:      cfg.Origins,
		Book:         book,
		RecentBytes:  cfg.RecentBytes,

		MaxConnections: cfg.MaxConnections,
		MaxMemory:      cfg.MaxMemory,
		Rebalance:      cfg.Rebalance,

		Commands: commands,
		Trail:    remembered,
		Panics:   ops.Panics(registry, logger),

		RefusedHeads: ops.RefusedHeads(registry),
		Tracer:       tracer,
	}, table, func(portal string) edge.Log { return st.Log(portal) }, st, logger, registry)
}

// NewPublisher makes a publisher for the portals of a table, over a store. Without a tracer it
// traces nothing.
func NewPublisher(cfg config.Publisher, table *portal.Table, st *store.Store, tracer *tracing.Tracer, logger *slog.Logger, registry prometheus.Registerer) *publisher.Publisher {
	var remembered *trail.Posts
	if cfg.TrailBytes > 0 {
		remembered = trail.NewPosts(cfg.TrailBytes, cfg.TTLRules.Rule)
	}
	return publisher.New(publisher.Config{
		Grammar: cfg.Grammar,
		Rules:   cfg.TTLRules,
		Allow:   cfg.Allow,
		Signed:  cfg.Signed,
		Hosts:   cfg.Hosts,
		Window:  cfg.Window,

		SharedHost: string(cfg.SharedHost),
		Book: tally.NewBook(cfg.ID, portal.Limits{Payload: cfg.MaxPayload, Messages: cfg.MaxMessages, Channels: cfg.MaxChannels},
			time.Local),

		MaxPosts:      int64(cfg.MaxPosts),
		MaxPostsBytes: cfg.MaxPostsBytes,
		MaxUnproven:   cfg.Unproven,
		Mirror:        newMirror(cfg, logger, registry),
		Trail:         remembered,
		Tracer:        tracer,
	}, table, func(portal string) publisher.Log { return st.Log(portal) }, st, logger, registry)
}

// newMirror returns the mirror of a publisher; nil if it has none.
func newMirror(cfg config.Publisher, logger *slog.Logger, registry prometheus.Registerer) publisher.Mirror {
	address := cfg.Mirror.URL()
	if address == nil {
		return nil
	}
	return mirror.New(mirror.Config{URL: address, Logger: logger}, registry)
}
