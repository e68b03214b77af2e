package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pushgate/internal/memo"
	"pushgate/internal/store"
)

const (
	nodesLife    = 5 * time.Second // of what the servers say, whoever asks
	contentsLife = time.Minute     // of what their keys take
	contentsWait = 20 * time.Second
)

// redisNode is a server in the answer of GET /admin/redis. A number that is not known is -1.
type redisNode struct {
	Address  string   `json:"address"`
	Role     string   `json:"role"` // always master: replicas are what their masters say of them
	Version  string   `json:"version"`
	Memory   int64    `json:"memory_bytes"`
	Limit    int64    `json:"memory_limit_bytes"` // 0 is none
	Peak     int64    `json:"memory_peak_bytes"`
	Policy   string   `json:"policy"`
	AOF      string   `json:"aof"` // on or off
	Writes   string   `json:"aof_last_write,omitempty"`
	Replicas int      `json:"replicas"`
	Behind   []string `json:"replicas_behind"`
	Evicted  int64    `json:"evicted"`
	Uptime   int64    `json:"uptime_s"`
	Fork     float64  `json:"fork_ms"`
	Risks    []string `json:"risks"`
}

// redisState is what the servers say.
type redisState struct {
	Nodes     []redisNode  `json:"nodes"`
	Trip      float64      `json:"trip_ms"` // of one command and its answer
	Slow      []store.Slow `json:"slow"`
	SlowError string       `json:"slow_error,omitempty"`
	Error     string       `json:"error,omitempty"`
}

// redisMemory is what their keys take.
type redisMemory struct {
	Memory      *store.Contents `json:"memory"`
	MemoryError string          `json:"memory_error,omitempty"`
}

// redisHandler returns the handler of GET /admin/redis. However many ask, Redis is asked once in
// some seconds, and its keys are looked at once in a minute.
func redisHandler(st *store.Store, logger *slog.Logger) http.Handler {
	states := memo.New(1, nodesLife, contentsWait, func(ctx context.Context, _ struct{}) redisState { return askRedis(ctx, st, logger) })
	memories := memo.New(1, contentsLife, contentsWait, func(ctx context.Context, _ struct{}) redisMemory {
		contents, err := st.Contents(ctx)
		if err != nil {
			logger.Info("memory of Redis not measured", "error", err)
			return redisMemory{MemoryError: unable(err, "SCAN, MEMORY USAGE, GETRANGE and DBSIZE")}
		}
		return redisMemory{Memory: &contents}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, err := states.Get(r.Context(), struct{}{})
		if err != nil {
			return // the client has hung up
		}
		memory := redisMemory{MemoryError: state.Error}
		if state.Error == "" {
			if memory, err = memories.Get(r.Context(), struct{}{}); err != nil {
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(struct {
			redisState
			redisMemory
		}{state, memory})
	})
}

func askRedis(ctx context.Context, st *store.Store, logger *slog.Logger) redisState {
	state := redisState{Nodes: []redisNode{}, Slow: []store.Slow{}}
	began := time.Now()
	if _, err := st.Time(ctx); err != nil {
		logger.Info("Redis not asked about itself", "error", err)
		state.Error = unable(err, "TIME")
		return state
	}
	state.Trip = float64(time.Since(began).Microseconds()) / 1000
	nodes, err := st.Inspect(ctx)
	if err != nil {
		logger.Info("Redis not asked about itself", "error", err)
		state.Error = unable(err, "INFO")
		return state
	}
	for _, n := range nodes {
		node := redisNode{Address: n.Address, Role: "master", Version: n.Version, Memory: n.Memory, Limit: n.MaxMemory, Peak: n.Peak, Policy: n.Eviction, AOF: n.AOF,
			Writes: n.Writes, Replicas: n.Replicas, Behind: append([]string{}, n.Behind...), Evicted: n.Evicted, Uptime: int64(n.Uptime.Seconds()),
			Fork: float64(n.Fork.Microseconds()) / 1000, Risks: []string{}}
		for _, risk := range n.Risks() {
			if risk.Problem != "" {
				node.Risks = append(node.Risks, risk.Problem)
			}
		}
		state.Nodes = append(state.Nodes, node)
	}
	slow, err := st.Slow(ctx)
	if err != nil {
		logger.Info("slow log of Redis not read", "error", err)
		state.SlowError = unable(err, "SLOWLOG GET")
		return state
	}
	state.Slow = slow
	return state
}

// unable returns a sentence about why Redis was not asked for something that needs permissions.
func unable(err error, permissions string) string {
	switch {
	case strings.Contains(err.Error(), "NOPERM"):
		return "The Redis user lacks a permission for this: " + permissions + ". See the line ACL SETUSER in docs/operations.md."
	case strings.Contains(err.Error(), "unknown command"):
		return "This Redis does not have what this needs: " + permissions + "."
	case errors.Is(err, context.DeadlineExceeded):
		return "Redis did not answer in time."
	default:
		return "Redis does not answer; the log of the process has the reason."
	}
}
