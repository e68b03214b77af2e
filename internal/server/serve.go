package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/config"
	"pushgate/internal/edge"
	"pushgate/internal/explain"
	"pushgate/internal/ops"
	"pushgate/internal/original"
	"pushgate/internal/portal"
	"pushgate/internal/publisher"
	"pushgate/internal/store"
	"pushgate/internal/tracing"
)

// Both is an edge and a publisher in one process, over one store and on one port. Its methods may
// be called concurrently, but for Run.
type Both struct {
	edge      *edge.Edge
	publisher *publisher.Publisher

	subscribers, publishers http.Handler // of the two
}

// NewBoth makes both for the portals of a table, over a store. Without a tracer they trace nothing.
func NewBoth(cfg config.Serve, table *portal.Table, st *store.Store, tracer *tracing.Tracer, logger *slog.Logger, registry prometheus.Registerer) *Both {
	e := NewEdge(cfg.Edge(), table, st, tracer, logger, registry)
	p := NewPublisher(cfg.Publisher(), table, st, tracer, logger, registry)
	return &Both{e, p, e.Handler(), p.Handler()}
}

// ServeHTTP serves the public paths of an edge and of a publisher. The edge takes the connections
// of its requests over.
func (b *Both) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if edge.Serves(r.URL) {
		b.subscribers.ServeHTTP(w, r)
		return
	}
	b.publishers.ServeHTTP(w, r)
}

// Ready returns why one of the two cannot do its work; nil if both can.
func (b *Both) Ready() error { return errors.Join(b.edge.Ready(), b.publisher.Ready()) }

// SetPortals replaces the portals that are served.
func (b *Both) SetPortals(table *portal.Table) {
	b.edge.SetPortals(table)
	b.publisher.SetPortals(table)
}

// Run works until ctx ends. It must be called once.
func (b *Both) Run(ctx context.Context) error {
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { _ = b.publisher.Run(ctx) }) // it has no error
	return b.edge.Run(ctx)
}

// Leaving returns how a service ends that serves b at a port: as an edge does. No connection is
// kept after its answer.
func (b *Both) Leaving(port *ops.HTTPPort, timeout time.Duration) ops.Leaving {
	drain := func(ctx context.Context) {
		port.CloseAfterAnswers()
		b.edge.Drain(ctx)
	}
	return ops.Leaving{Drain: drain, Timeout: timeout}
}

// RunServe runs an edge and a publisher on one port with the settings of environ until SIGTERM, and
// returns the exit code of the program. If environ has the variables of the original server's
// images, RunServe follows them: they may ask for an edge or for a publisher alone.
func RunServe(environ []string) int {
	settings, err := original.Translate(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	environ, notes := settings.Environ, settings.Notes
	switch settings.Role {
	case original.Edge:
		return runEdge(environ, notes)
	case original.Publisher:
		return runPublisher(environ, notes)
	}
	cfg, err := config.LoadServe(environ)
	if err != nil {
		return ops.Refuse(err)
	}
	var unheld int
	cfg.MaxConnections, unheld = divide(ops.MaxConnections(0), cfg.MaxConnections)
	cfg.MaxMemory = ops.MaxMemory(cfg.MaxMemory)
	ops.CollectAt(edge.GCPercent)
	return run(cfg, notes, func(b base) (ops.Service, error) {
		both := NewBoth(cfg, b.portals, b.store, b.tracer, b.logger, b.registry)
		b.rebalances(cfg.ID, both.edge)
		explain.Parts{Edge: both.edge, Posts: both.publisher.Trail()}.Register(b.fleet)
		port := ops.NewPort(both, b.registry, b.logger)
		ops.Bound(port.Server, int64(unheld))
		return ops.Service{Name: "serve", Listen: cfg.Listen, Port: port, Ready: both.Ready, Run: both.Run,
			Leaving: both.Leaving(port, cfg.Drain+edge.CloseGrace), Reload: b.reload(cfg.Portals, both)}, nil
	})
}

// divide divides the connections of a process between the edge, which wants a number of them (0 is
// as many as it can get), and all others: posts, and connections on which no request has come yet.
// These get a quarter, so that neither side can take the other's.
func divide(most, wanted int) (held, unheld int) {
	unheld = most / 4
	held = most - unheld
	if wanted > 0 {
		held = min(held, wanted)
	}
	return held, unheld
}
