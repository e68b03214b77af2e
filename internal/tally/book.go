package tally

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

// Book holds the tallies of a process, one for each portal. Its methods may be called concurrently.
type Book struct {
	// Immutable.
	id     string
	limits portal.Limits
	zone   *time.Location
	whole  *Tally

	mu sync.Mutex
	// By the names of portals, including those that are not served any more.
	tallies map[string]*Tally
}

// NewBook makes the book of a process. No other process may have the same id. limits are the
// defaults of portals; days begin at midnight in zone.
func NewBook(id string, limits portal.Limits, zone *time.Location) *Book {
	return &Book{id: id, limits: limits, zone: zone, whole: newTally(zone, nil), tallies: make(map[string]*Tally)}
}

// Of returns the tally of a portal, the same one at every call.
func (b *Book) Of(portal string) *Tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tallies[portal]
	if t == nil {
		t = newTally(b.zone, b.whole)
		b.tallies[portal] = t
	}
	return t
}

// Process returns the statistics of the process now. table has the portals that it serves; here
// has, by the names of portals, how many channels have a subscriber in this process, and how many
// connections there are.
func (b *Book) Process(table *portal.Table, here map[string]proto.Numbers) proto.Process {
	limits := b.limits
	if !table.Shared() {
		limits = table.Personal().Limits
	}
	p := proto.Process{ProcessStats: proto.ProcessStats{PID: os.Getpid(), Date: time.Now().UnixMilli(), ID: b.id,
		Numbers: proto.Numbers{Limits: shown(limits), Cluster: true, Daily: b.whole.Today()}}}
	p.Portals = make(map[string]proto.Numbers)
	for name, numbers := range here {
		p.Channels += numbers.Channels
		p.WebSockets += numbers.WebSockets
		p.Polls += numbers.Polls
		p.Portals[name] = numbers
	}
	// Of thousands of portals, most have counted nothing and are left out.
	for name, daily := range b.days() {
		if len(daily.Requests)+len(daily.Messages) > 0 {
			numbers := p.Portals[name]
			numbers.Daily = daily
			p.Portals[name] = numbers
		}
	}
	for _, served := range table.All() {
		if limits := shown(served.Limits); limits != p.Limits {
			numbers := p.Portals[served.Name()]
			numbers.Limits = limits
			p.Portals[served.Name()] = numbers
		}
	}
	for name, numbers := range p.Portals {
		if numbers.Limits == (proto.StatsLimits{}) { // not set above: every portal has some limits
			numbers.Limits = p.Limits
		}
		numbers.Cluster = true
		p.Portals[name] = numbers
	}
	return p
}

// days returns the counts of all portals.
func (b *Book) days() map[string]proto.Daily {
	b.mu.Lock()
	tallies := maps.Clone(b.tallies)
	b.mu.Unlock()
	days := make(map[string]proto.Daily, len(tallies))
	for name, t := range tallies {
		days[name] = t.Today()
	}
	return days
}

func shown(l portal.Limits) proto.StatsLimits {
	return proto.StatsLimits{Payload: l.Payload, Connections: l.Connections, Messages: l.Messages, Channels: l.Channels}
}

// Stats is where a process publishes its statistics, under a lease of three times [Period].
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
}

// Period is the mean time between two writes to [Stats].
const Period = 10 * time.Second

// Keep writes the statistics that now returns until ctx ends, and then removes them, within a
// second. It calls written with the result of every write, in its own goroutine. An error means
// that the statistics were not removed; they stay until the lease expires.
func (b *Book) Keep(ctx context.Context, stats Stats, now func() proto.Process, written func(error)) error {
	for ctx.Err() == nil {
		written(stats.PutProcess(ctx, now()))
		timer := time.NewTimer(Period - Period/10 + rand.N(Period/5))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return stats.DropProcess(ctx, b.id)
}
