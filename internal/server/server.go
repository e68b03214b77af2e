// Package server puts the programs together: an edge, a publisher, and both in one process.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/command"
	"pushgate/internal/config"
	"pushgate/internal/edge"
	"pushgate/internal/handover"
	"pushgate/internal/intake"
	"pushgate/internal/netpoll/socket"
	"pushgate/internal/ops"
	"pushgate/internal/portal"
	"pushgate/internal/publisher"
	"pushgate/internal/store"
	"pushgate/internal/tally"
)

// closeHandshake is how long a client that was told to go may take to say so too.
const closeHandshake = 6 * time.Second

// RunEdge runs an edge, as the environment says, until SIGTERM, and gives the exit code of its program.
func RunEdge(environ []string) int {
	cfg, err := config.LoadEdge(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	cfg.Connections = ops.MaxConnections(cfg.Connections)
	cfg.MaxMemory = ops.MaxMemory(cfg.MaxMemory)
	ops.CollectAt(edge.GCPercent)
	if cfg.Handover != "" {
		cfg.ID = fmt.Sprintf("%s.%06x", cfg.ID, rand.Uint32N(1<<24)) // for a while there is a successor of the same name
	}
	return run(cfg.Common, func(b base) (ops.Service, error) {
		e, err := NewEdge(cfg, b.store, b.logger, b.registry)
		if err != nil {
			return ops.Service{}, err
		}
		service := ops.Service{Name: "edge", Listen: cfg.Listen, Port: e, Ready: e.Ready, Run: e.Run,
			Leaving: ops.Leaving{Drain: e.Drain, Timeout: cfg.Drain + closeHandshake}, Reload: reload(cfg.Portals, e, b.keys)}
		if cfg.Handover == "" {
			return service, nil
		}
		succession, err := handover.Open(cfg.Handover, ops.Listen, b.logger)
		if err != nil {
			return ops.Service{}, err
		}
		service.Bind = succession.Listen
		service.Run = func(ctx context.Context) error { return runInLine(ctx, e, succession, b.leave) }
		return service, nil
	})
}

// runInLine runs an edge that takes over from one before it and hands over to one after it.
func runInLine(ctx context.Context, e *edge.Edge, succession *handover.Succession, leave func(error)) error {
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

// errSucceeded says why an edge leaves that has been succeeded.
var errSucceeded = errors.New("another process has taken over")

// RunPublisher runs a publisher, as the environment says, until SIGTERM, and gives the exit code of its program.
func RunPublisher(environ []string) int {
	cfg, err := config.LoadPublisher(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	return run(cfg.Common, func(b base) (ops.Service, error) {
		p, err := NewPublisher(cfg, b.store, b.logger, b.registry)
		if err != nil {
			return ops.Service{}, err
		}
		return ops.Service{Name: "publisher", Listen: cfg.Listen, Port: publisherPort(p, b.registry, b.logger), Ready: p.Ready, Run: p.Run,
			Reload: reload(cfg.Portals, p, b.keys)}, nil
	})
}

// rawPort is a port whose connections are those of package socket: posts are little work each.
type rawPort struct{ *http.Server }

// Serve implements [ops.Port].
func (p rawPort) Serve(listener net.Listener) error {
	return p.Server.Serve(socket.Listener{Listener: listener})
}

func publisherPort(p *publisher.Publisher, registry prometheus.Registerer, logger *slog.Logger) ops.Port {
	return rawPort{ops.NewPort(p.Handler(), registry, logger)}
}

// base is what the service of a program is built on.
type base struct {
	store    *store.Store
	logger   *slog.Logger
	registry *prometheus.Registry
	keys     *shortKeys
	leave    func(error) // ends the service, with a reason
}

// run runs the service that build makes over a store, with what every program has around it, and
// returns the exit code of the program.
func run(cfg config.Common, build func(base) (ops.Service, error)) int {
	logger := NewLogger(cfg, os.Stderr)
	return ops.Main(logger, func(ctx context.Context) error {
		ctx, leave := context.WithCancelCause(ctx)
		defer leave(nil)
		registry := ops.NewRegistry()
		store.LogTo(logger)
		st, closeStore, err := Open(cfg, logger, registry)
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
		service, err := build(base{st, logger, registry, keys, leave})
		if err != nil {
			return err
		}
		service.Admin = ops.Admin{Listen: cfg.AdminListen, Registry: registry, Details: redis.details}
		service.Logger = logger
		service.Run = beside(service.Run, func(ctx context.Context) { redis.run(ctx, leave) })
		if err := service.Serve(ctx); err != nil {
			return err
		}
		if cause := context.Cause(ctx); errors.Is(cause, handover.ErrStays) || errors.Is(cause, errRisk) {
			return cause
		}
		return nil
	})
}

// beside returns what runs run, and more for as long.
func beside(run func(context.Context) error, more func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		var running sync.WaitGroup
		defer running.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		running.Go(func() { more(ctx) })
		return run(ctx)
	}
}

// reload returns a function that reads the portals anew and passes them to the servers.
func reload(read func() (*portal.Table, error), servers ...interface{ SetPortals(*portal.Table) }) func() error {
	return func() error {
		table, err := read()
		if err != nil {
			return err
		}
		for _, server := range servers {
			server.SetPortals(table)
		}
		return nil
	}
}

// NewLogger makes the logger of a program.
func NewLogger(cfg config.Common, w io.Writer) *slog.Logger {
	return ops.NewLogger(w, cfg.LogFormat, cfg.LogLevel)
}

// Open makes the store of a program, which ends with the returned function.
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

// NewEdge makes an edge over a store. The error is about the portals.
func NewEdge(cfg config.Edge, st *store.Store, logger *slog.Logger, registry prometheus.Registerer) (*edge.Edge, error) {
	table, err := cfg.Portals()
	if err != nil {
		return nil, err
	}
	book := tally.NewBook(cfg.ID, portal.Limits{Payload: cfg.MaxPayload, Messages: cfg.MaxMessages, Channels: cfg.MaxChannels,
		Connections: cfg.MaxConnections}, time.Local)
	gates := intake.New(int64(cfg.MaxPosts), cfg.MaxPostsBytes)
	commands := func(p *portal.Portal) edge.Commands {
		return command.New(command.Config{Signer: p.Signer, Rules: cfg.TTLRules, MaxPayload: p.Limits.Payload,
			MaxMessages: p.Limits.Messages, MaxChannels: p.Limits.Channels, Tally: book.Of(p.Name())},
			intake.Log{Log: st.Log(p.Name()), Gate: gates.Of(p.Name(), p.Limits)}, nil)
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

		MaxConnections: cfg.Connections,
		MaxMemory:      cfg.MaxMemory,
		Rebalance:      cfg.Rebalance,

		Commands: commands,
		Panics:   ops.Panics(registry, logger),

		RefusedHeads: ops.RefusedHeads(registry),
	}, table, func(portal string) edge.Log { return st.Log(portal) }, st, logger, registry), nil
}

// NewPublisher makes a publisher over a store. The error is about the portals.
func NewPublisher(cfg config.Publisher, st *store.Store, logger *slog.Logger, registry prometheus.Registerer) (*publisher.Publisher, error) {
	table, err := cfg.Portals()
	if err != nil {
		return nil, err
	}
	return publisher.New(publisher.Config{
		Grammar: cfg.Grammar,
		Rules:   cfg.TTLRules,
		Allow:   cfg.Allow,
		Signed:  cfg.Signed,
		Hosts:   cfg.Hosts,
		Window:  cfg.Window,
		Book: tally.NewBook(cfg.ID, portal.Limits{Payload: cfg.MaxPayload, Messages: cfg.MaxMessages, Channels: cfg.MaxChannels},
			time.Local),

		MaxPosts:      int64(cfg.MaxPosts),
		MaxPostsBytes: cfg.MaxPostsBytes,
	}, table, func(portal string) publisher.Log { return st.Log(portal) }, st, logger, registry), nil
}
