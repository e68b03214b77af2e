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

// Book is the tallies of a process, by portal. Its methods may be called concurrently.
type Book struct {
	// Immutable.
	id     string
	limits portal.Limits
	zone   *time.Location
	whole  *Tally

	mu      sync.Mutex
	tallies map[string]*Tally // by the names of portals, those that are not served any more too
}

// NewBook makes the book of a process that has an id, unlike any other's. limits are those of portals that have none of their own; days
// begin at midnight in zone.
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

// Process returns what the process tells of itself now. It serves the portals of a table; here has, by the names of portals, the
// channels that have a subscriber here, and the connections.
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
	// Among thousands of portals most have nothing to tell, and are left out.
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
		if numbers.Limits == (proto.StatsLimits{}) { // no portal has none at all
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

// Stats is where a process tells of itself, under a lease of three [Period].
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
}

// Period is the mean time between two writes.
const Period = 10 * time.Second

// Keep writes what now gives until ctx ends, and then takes it away, for which it has a second more. told hears of every write,
// in the goroutine that called Keep. The error is that nothing was taken away; the lease will.
func (b *Book) Keep(ctx context.Context, stats Stats, now func() proto.Process, told func(error)) error {
	for ctx.Err() == nil {
		told(stats.PutProcess(ctx, now()))
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
