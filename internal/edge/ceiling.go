package edge

import (
	"context"
	"math/rand/v2"
	"net/http"
	runtimemetrics "runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"pushgate/internal/transport"
	"pushgate/internal/wire"
)

const (
	memoryInterval = 250 * time.Millisecond // between two checks of the memory in use

	// memoryFull is the part of the limit above which no subscriber is admitted. The rest is for
	// the garbage collector, and for bursts.
	memoryFull = 0.75
	memoryRoom = 0.70 // part of the limit below which there is room again
)

// ceiling decides when an edge has no room for more subscribers. That is well before the process is
// in danger: without a free descriptor it could not even reach Redis. Its methods may be called
// concurrently.
type ceiling struct {
	connections int64         // most; 0 is no limit. Immutable
	memory      uint64        // bytes that the process may take; 0 is no limit. Immutable
	used        func() uint64 // bytes that are in use; immutable
	open        func() int64  // connections that there are; immutable
	full        atomic.Bool   // of memory
}

// What an edge can be full of, as labels of metrics.
const (
	fullConnections = "connections"
	fullMemory      = "memory"
)

// reached returns what the edge is full of; "" if there is room.
func (c *ceiling) reached() string {
	switch {
	case c.connections > 0 && c.open() > c.connections:
		return fullConnections
	case c.full.Load():
		return fullMemory
	default:
		return ""
	}
}

// beyond reports whether there are so many connections that not even a refusal can be afforded.
func (c *ceiling) beyond() bool {
	return c.connections > 0 && c.open() > c.connections+c.connections/20+16
}

// watch checks the memory in use until ctx ends.
func (c *ceiling) watch(ctx context.Context) {
	if c.memory == 0 {
		return
	}
	for {
		part := float64(c.used()) / float64(c.memory)
		c.full.Store(part > memoryFull || c.full.Load() && part > memoryRoom)
		if wait(ctx, memoryInterval) != nil {
			return
		}
	}
}

// usedMemory returns the bytes in use: what the last garbage collection left, and the stacks.
// Garbage that is not collected yet does not count: the closer the heap is to its limit, the more
// often Go collects.
func usedMemory() uint64 {
	samples := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	runtimemetrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// admit reports whether a new connection can be afforded, even if only to be refused.
func (e *Edge) admit() bool {
	if e.ceiling.beyond() {
		e.metrics.full[fullConnections].Inc()
		return false
	}
	return true
}

// hasRoom reports whether a new subscriber can be admitted. If not, it answers 503, at which nginx
// tries another edge. No client asks the portal because of a 503.
func (e *Edge) hasRoom(w http.ResponseWriter) bool {
	what := e.ceiling.reached()
	if what == "" {
		return true
	}
	e.metrics.full[what].Inc()
	turnAway(w)
	return false
}

// turnAway answers 503.
func turnAway(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", wire.PlainText)
	h.Set(transport.AllowOrigin, "*")
	h.Set("Connection", "close")
	h.Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	w.WriteHeader(http.StatusServiceUnavailable)
}
