package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pushgate/internal/admin"
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
	Address     string      `json:"address"`
	Role        string      `json:"role"` // master: of replicas, their masters tell
	Version     string      `json:"version"`
	Memory      int64       `json:"memory_bytes"`
	Limit       int64       `json:"limit_bytes"` // 0 is none
	Peak        int64       `json:"peak_bytes"`
	Policy      string      `json:"policy"`
	Persistence persistence `json:"persistence"`
	Replicas    int         `json:"replicas"`
	Behind      []string    `json:"replicas_behind"`
	Evicted     int64       `json:"evicted"`
	Uptime      int64       `json:"uptime_s"`
	Fork        float64     `json:"fork_ms"`
	Risks       []string    `json:"risks"`
}

type persistence struct {
	AOF    string `json:"aof"`              // on or off
	Failed string `json:"failed,omitempty"` // what went wrong with it
}

// redisState is what the servers say.
type redisState struct {
	Nodes []redisNode  `json:"nodes"`
	Trip  float64      `json:"trip_ms"` // of one command and its answer
	Slow  []store.Slow `json:"slow"`

	problem string // what is missing, and why
}

// redisMemory is what the keys take.
type redisMemory struct {
	Types    []store.Held    `json:"types"`
	Others   []store.Held    `json:"others"` // what is not a message
	Channels []store.Channel `json:"channels"`
	Sample   *redisSample    `json:"sample"` // nil if nothing was looked at

	problem string
}

// redisSample says how much of Redis was looked at.
type redisSample struct {
	At       int64 `json:"at"`       // unix ms
	Keys     int64 `json:"keys"`     // in the database
	Seen     int64 `json:"seen"`     // of these
	Messages int64 `json:"messages"` // likewise
	Channels int64 `json:"channels"` // likewise
	Complete bool  `json:"complete"` // all was
}

// redisAnswer is the answer.
type redisAnswer struct {
	redisState
	redisMemory
	Error string `json:"error,omitempty"`
}

// redisHandler returns the handler of GET /admin/redis. However many ask, Redis is asked once in
// some seconds, and its keys are looked at once in a minute.
func redisHandler(st *store.Store, logger *slog.Logger) http.Handler {
	states := memo.New(1, nodesLife, contentsWait, func(ctx context.Context, _ struct{}) redisState { return askRedis(ctx, st, logger) })
	memories := memo.New(1, contentsLife, contentsWait, func(ctx context.Context, _ struct{}) redisMemory { return measureRedis(ctx, st, logger) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, err := states.Get(r.Context(), struct{}{})
		if err != nil {
			return // the client has hung up
		}
		memory := emptyMemory()
		if len(state.Nodes) > 0 {
			if memory, err = memories.Get(r.Context(), struct{}{}); err != nil {
				return
			}
		}
		admin.Answer(w, http.StatusOK, redisAnswer{state, memory, strings.TrimSpace(state.problem + " " + memory.problem)})
	})
}

func emptyMemory() redisMemory {
	return redisMemory{Types: []store.Held{}, Others: []store.Held{}, Channels: []store.Channel{}}
}

func measureRedis(ctx context.Context, st *store.Store, logger *slog.Logger) redisMemory {
	c, err := st.Contents(ctx)
	if err != nil {
		logger.Info("memory of Redis not measured", "error", err)
		memory := emptyMemory()
		memory.problem = unable(err, "SCAN, MEMORY USAGE, GETRANGE and DBSIZE")
		return memory
	}
	sample := redisSample{At: c.At.UnixMilli(), Keys: c.Keys, Seen: c.Seen, Complete: c.Seen >= c.Keys, Channels: c.Lists}
	for _, held := range c.Types {
		sample.Messages += held.Keys
	}
	return redisMemory{Types: c.Types, Others: c.Others, Channels: c.Channels, Sample: &sample}
}

func askRedis(ctx context.Context, st *store.Store, logger *slog.Logger) redisState {
	state := redisState{Nodes: []redisNode{}, Slow: []store.Slow{}}
	began := time.Now()
	if _, err := st.Time(ctx); err != nil {
		logger.Info("Redis not asked about itself", "error", err)
		state.problem = unable(err, "TIME")
		return state
	}
	state.Trip = float64(time.Since(began).Microseconds()) / 1000
	nodes, err := st.Inspect(ctx)
	if err != nil {
		logger.Info("Redis not asked about itself", "error", err)
		state.problem = unable(err, "INFO")
		return state
	}
	for _, n := range nodes {
		node := redisNode{Address: n.Address, Role: "master", Version: n.Version, Memory: n.Memory, Limit: n.MaxMemory, Peak: n.Peak, Policy: n.Eviction, Persistence: persistence{AOF: n.AOF},
			Replicas: n.Replicas, Behind: append([]string{}, n.Behind...), Evicted: n.Evicted, Uptime: int64(n.Uptime.Seconds()),
			Fork: float64(n.Fork.Microseconds()) / 1000, Risks: []string{}}
		if n.Writes != "" && n.Writes != "ok" {
			node.Persistence.Failed = "appendonly: " + n.Writes
		}
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
		state.problem = unable(err, "SLOWLOG GET")
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
