package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/store"
)

// How long after a look at Redis the next one comes. A new master is looked at with the next one.
const (
	lookInterval = 2 * time.Minute
	lookAgain    = 5 * time.Second // after one that failed
)

// errRisk says that the settings of Redis endanger messages, where that is not allowed.
var errRisk = errors.New("the settings of Redis endanger messages")

// inspector is the part of a store that tells about the servers.
type inspector interface {
	Inspect(ctx context.Context) ([]store.Node, error)
}

// watch looks at the settings of Redis from time to time, and reports those that endanger messages.
type watch struct {
	// Immutable.
	redis  inspector
	strict bool // the first look must find nothing
	logger *slog.Logger
	risk   *prometheus.GaugeVec
	memory *prometheus.GaugeVec // used, by node
	limit  *prometheus.GaugeVec // likewise, of nodes that have one

	mu    sync.Mutex
	seen  bool // there has been a look that did not fail
	lines []string
	risks map[finding]string // problems
	nodes map[string]bool    // what nodes said of themselves
}

// finding is a risk at a server.
type finding struct{ node, risk string }

func newWatch(redis inspector, strict bool, registry prometheus.Registerer, logger *slog.Logger) *watch {
	risk := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pushgate_redis_risk",
		Help: "1 if the settings of a Redis server endanger messages, by how; absent while that is not known."}, []string{"risk"})
	memory := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pushgate_redis_memory_bytes",
		Help: "Memory that a Redis server uses, by server; asked every two minutes, and absent while that is not known."}, []string{"node"})
	limit := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pushgate_redis_memory_limit_bytes",
		Help: "The maxmemory of a Redis server, by server; beyond it posts are refused. Absent if there is no limit."}, []string{"node"})
	registry.MustRegister(risk, memory, limit)
	return &watch{redis: redis, strict: strict, logger: logger, risk: risk, memory: memory, limit: limit, lines: []string{"redis: not looked at yet"}}
}

// run looks until ctx ends. If the first look finds what it must not, run calls leave with the
// reason.
func (w *watch) run(ctx context.Context, leave func(error)) {
	for {
		next := lookInterval
		if err := w.look(ctx); errors.Is(err, errRisk) {
			leave(err)
		} else if err != nil {
			next = lookAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// look looks once. The error wraps errRisk, or says why Redis could not be asked.
func (w *watch) look(ctx context.Context) error {
	nodes, err := w.redis.Inspect(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory.Reset() // a new master has another name
	w.limit.Reset()
	if err != nil {
		w.lines = []string{"redis: " + err.Error()}
		return err
	}
	first := !w.seen
	w.seen = true
	w.lines = nil
	said, risks := make(map[string]bool), make(map[finding]string)
	known, found := make(map[string]bool), make(map[string]bool)
	for _, n := range nodes {
		w.lines = append(w.lines, n.String())
		if n.Memory >= 0 {
			w.memory.WithLabelValues(n.Address).Set(float64(n.Memory))
		}
		if n.MaxMemory > 0 {
			w.limit.WithLabelValues(n.Address).Set(float64(n.MaxMemory))
		}
		if said[n.String()] = true; !w.nodes[n.String()] {
			w.logger.Info("looked at Redis", "found", n.String())
		}
		for _, r := range n.Risks() {
			known[r.Name] = true
			if r.Problem == "" {
				continue
			}
			found[r.Name] = true
			key := finding{n.Address, r.Name}
			risks[key] = r.Problem
			w.lines = append(w.lines, fmt.Sprintf("redis %s: risk of %s: %s", n.Address, r.Name, r.Problem))
			if w.risks[key] != r.Problem {
				w.logger.Warn("Redis endangers messages", "risk", r.Name, "node", n.Address, "problem", r.Problem)
			}
		}
	}
	for key := range w.risks {
		if risks[key] == "" {
			w.logger.Info("Redis endangers messages no more", "risk", key.risk, "node", key.node)
		}
	}
	w.nodes, w.risks = said, risks
	for _, name := range store.RiskNames() {
		switch {
		case !known[name]:
			w.risk.DeleteLabelValues(name)
		case found[name]:
			w.risk.WithLabelValues(name).Set(1)
		default:
			w.risk.WithLabelValues(name).Set(0)
		}
	}
	if w.strict && first && len(risks) > 0 {
		return fmt.Errorf("%w, and PUSHGATE_REDIS_STRICT is true: %s", errRisk, strings.Join(w.lines, "; "))
	}
	return nil
}

// details returns what the last look has found, a line for each server and each risk.
func (w *watch) details() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}
