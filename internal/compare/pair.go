package compare

import (
	"slices"
	"sync"
	"time"
)

// side is one of the two servers.
type side int

const (
	sideA side = iota
	sideB
)

// String returns the letter of the server.
func (s side) String() string { return [...]string{"A", "B"}[s] }

func (s side) other() side { return 1 - s }

// Bounds of the records of a pair that wait for their equals, at each side.
const (
	maxPending      = 10_000
	maxPendingBytes = 8 << 20 // the newest record may exceed it
)

// pair compares what is received for one channel id from two servers. A record waits until its
// equal comes from the other side; if that does not come in time, it is a difference. Its methods
// may be called concurrently.
type pair struct {
	// Immutable.
	name     string
	warmup   time.Duration
	patience time.Duration
	report   *report

	mu sync.Mutex
	// Guarded by mu, with the oldest record first.
	pending [2][]record
	bytes   [2]int
	up      [2]time.Time // since when the side is connected; zero if it is not
	ready   time.Time    // what arrived before is no difference; zero until both were connected
	closing bool         // new records are only compared with those that wait
}

// connected notes that a side is connected from now on, or not any more.
func (p *pair) connected(s side, is bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up[s] = time.Time{}
	if !is {
		return
	}
	p.up[s] = now
	if p.ready.IsZero() && !p.up[s.other()].IsZero() {
		p.ready = now.Add(p.warmup)
	}
}

// comparing reports whether differences count by now.
func (p *pair) comparing(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ready.IsZero() && !now.Before(p.ready)
}

// take compares records that came from a side at once.
func (p *pair) take(s side, records []record, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range records {
		if r.isGap() {
			p.report.gap(s)
			continue
		}
		p.report.received(s)
		p.match(s, r)
	}
	for len(p.pending[s]) > maxPending || p.bytes[s] > maxPendingBytes && len(p.pending[s]) > 1 {
		p.expire(s, 0)
	}
}

// match finds the equal of a record that came from a side, or lets it wait. p.mu is held.
func (p *pair) match(s side, r record) {
	o := s.other()
	i := slices.IndexFunc(p.pending[o], func(waiting record) bool { return waiting.equal(&r) })
	if i < 0 {
		if !p.closing {
			p.pending[s] = append(p.pending[s], r)
			p.bytes[s] += len(r.body)
		}
		return
	}
	waiting := p.pending[o][i]
	for j := range i {
		p.pending[o][j].passed = true
	}
	for j := range p.pending[s] {
		p.pending[s][j].passed = true
	}
	p.remove(o, i)
	took := r.at.Sub(waiting.at) // from the side that was first to the other
	if o == sideB {
		took = -took
	}
	p.report.matched(took)
	if waiting.passed && p.counts(waiting) {
		p.report.order(p.name, s, waiting)
	}
}

// counts reports whether a record came late enough to be a difference. p.mu is held.
func (p *pair) counts(r record) bool { return !p.ready.IsZero() && !r.at.Before(p.ready) }

// remove takes a record from those that wait. p.mu is held.
func (p *pair) remove(s side, i int) {
	p.bytes[s] -= len(p.pending[s][i].body)
	if i > 0 {
		p.pending[s] = slices.Delete(p.pending[s], i, i+1)
		return
	}
	p.pending[s][0] = record{}
	p.pending[s] = p.pending[s][1:]
}

// settle reports the records whose equal has not come in time. A side that is not connected gets
// more time: when it is back, it gets what it missed.
func (p *pair) settle(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range []side{sideA, sideB} {
		since := p.up[s.other()]
		for len(p.pending[s]) > 0 && !since.IsZero() {
			if at := p.pending[s][0].at; now.Sub(at) < p.patience || now.Sub(since) < p.patience {
				break
			}
			p.expire(s, 0)
		}
	}
}

// close has the pair compare new records only with those that wait.
func (p *pair) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
}

// idle reports whether no record waits.
func (p *pair) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending[sideA])+len(p.pending[sideB]) == 0
}

// finish reports all records that still wait.
func (p *pair) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range []side{sideA, sideB} {
		for len(p.pending[s]) > 0 {
			p.expire(s, 0)
		}
	}
}

// similar is how many of the waiting records are looked at for one that is a changed copy.
const similar = 64

// expire reports a record that waits, as changed if the other side has a similar one, else as
// missing there. p.mu is held.
func (p *pair) expire(s side, i int) {
	r, o := p.pending[s][i], s.other()
	p.remove(s, i)
	if !p.counts(r) {
		p.report.stray()
		return
	}
	best, most := -1, 0
	for j := range p.pending[o][:min(len(p.pending[o]), similar)] {
		candidate := &p.pending[o][j]
		first, last := r.common(candidate)
		if n := first + last; n > most && 2*n >= max(len(r.body), len(candidate.body)) && p.counts(*candidate) {
			best, most = j, n
		}
	}
	if best < 0 {
		p.report.missing(p.name, s, r)
		return
	}
	changed := p.pending[o][best]
	p.remove(o, best)
	if s == sideA {
		p.report.changed(p.name, r, changed)
	} else {
		p.report.changed(p.name, changed, r)
	}
}
