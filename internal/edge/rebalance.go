package edge

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"pushgate/internal/proto"
)

const (
	balanceLook     = 10 * time.Second // between two checks of the others, which report as often
	balancePatience = 6                // checks in a row that must find this edge too full
	balanceSlack    = 0.1              // part of the mean that an edge may be above it
	balanceLeast    = 10               // connections, likewise
)

// movable is a connection that can be asked to go to another edge. Polls are not: nginx chooses an
// edge for each of their requests.
type movable interface{ Move() }

// keepBalance sheds a small share of the connections while this edge has more than the others,
// until ctx ends. An edge that comes back is empty, and connections last for days. nginx sends the
// clients to the edge with the fewest.
func (e *Edge) keepBalance(ctx context.Context) {
	if e.config.Rebalance == 0 {
		return
	}
	var b balance
	for wait(ctx, balanceLook) == nil {
		processes, err := e.stats.Processes(ctx)
		if err != nil || e.draining.Load() {
			b = balance{}
			continue
		}
		e.shed(ctx, b.share(e.config.ID, e.webSockets(), processes, e.config.Rebalance), balanceLook/2)
	}
}

var errMoving = errors.New("the edge is moving connections already")

// Rebalance asks the connections that this edge has above the mean of all edges to leave, spread
// over the window of a drain, and returns how many they are: 0 if the edge is about as full as the
// others. It does not wait for them. It fails if an earlier call still moves connections.
func (e *Edge) Rebalance(ctx context.Context) (moving int, err error) {
	if e.draining.Load() {
		return 0, errDraining
	}
	processes, err := e.stats.Processes(ctx)
	if err != nil {
		return 0, err
	}
	n := int(surplus(e.config.ID, e.webSockets(), processes))
	select {
	case e.moves <- n:
		return n, nil
	default:
		return 0, errMoving
	}
}

// keepMoving moves what Rebalance asks for until ctx ends.
func (e *Edge) keepMoving(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-e.moves:
			e.shed(ctx, n, e.config.Drain)
		}
	}
}

// shed asks n connections to leave, spread over a time.
func (e *Edge) shed(ctx context.Context, n int, over time.Duration) {
	if n == 0 {
		return
	}
	step := over / time.Duration(n)
	members := e.shared.Heartbeats.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, m := range members {
		movable, ok := m.(movable)
		if !ok {
			continue
		}
		if wait(ctx, jitter(step)) != nil {
			return
		}
		movable.Move()
		if n--; n == 0 {
			return
		}
	}
}

// balance is what an edge remembers from one check to the next.
type balance struct {
	looks     int     // checks in a row that found it too full
	allowance float64 // connections that it may shed; the part of one that is left over
}

// share returns how many of its connections an edge is to shed now, at a percentage a minute.
// processes are the reports of all processes, which are some seconds old.
func (b *balance) share(id string, mine int, processes []proto.Process, percent int) int {
	above := surplus(id, mine, processes)
	if above == 0 {
		*b = balance{}
		return 0
	}
	if b.looks++; b.looks < balancePatience {
		return 0
	}
	b.allowance += float64(mine) * float64(percent) / 100 * balanceLook.Minutes()
	n := int(min(b.allowance, above))
	b.allowance -= float64(n)
	return n
}

// surplus returns how many connections an edge has above the mean of all edges; 0 if that is few.
func surplus(id string, mine int, processes []proto.Process) float64 {
	all := mine
	others := 0
	for _, other := range processes {
		if other.Edge && other.ID != id {
			all += other.WebSockets
			others++
		}
	}
	mean := float64(all) / float64(others+1)
	above := float64(mine) - mean
	if others == 0 || above <= max(balanceSlack*mean, balanceLeast) {
		return 0
	}
	return above
}
