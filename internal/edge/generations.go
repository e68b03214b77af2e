package edge

import "time"

// generations is a bounded map that forgets. It has two generations. When the younger one is full
// or old, the older one is dropped, the younger one takes its place, and a new one begins. Its
// methods must not be called concurrently.
//
// A cache with an expiry (golang-lru/v2/expirable) would do, but its goroutine cannot be ended.
type generations[V any] struct {
	size int           // values that are remembered, at least; twice as many at most
	life time.Duration // for which they are, at least

	young, old map[uint64]V
	since      time.Time // when young began
}

func newGenerations[V any](size int, life time.Duration) generations[V] {
	return generations[V]{size: size, life: life, young: make(map[uint64]V)}
}

// get returns what was put under a key, or a zero value.
func (g *generations[V]) get(key uint64, now time.Time) V {
	if len(g.young) >= g.size || now.Sub(g.since) > g.life {
		g.old, g.young, g.since = g.young, make(map[uint64]V), now
	}
	v, ok := g.young[key]
	if !ok {
		v = g.old[key]
	}
	return v
}

// put remembers a value. It follows a get.
func (g *generations[V]) put(key uint64, v V) { g.young[key] = v }
