package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
)

// Ledger records what was published, to compare it with what arrived. Bodies are the keys: no two
// posts may have the same, not even of different portals.
type Ledger struct {
	mu    sync.Mutex
	posts map[string]*post
}

// Letter is a message to post.
type Letter struct {
	Portal   string // clientId; empty for the personal portal
	Body     string
	Channels []channel.ID // users among them, by [channel.ForUser], go by JSON-RPC only
}

type post struct {
	Letter
	accepted bool // else its outcome is unknown: it may have been published, or not
	at       time.Time
}

// Post publishes letters together by send and records the outcome. Letters with an unknown outcome
// must not be sent again: they could arrive twice.
func (l *Ledger) Post(send func() error, letters ...Letter) error {
	posts := make([]*post, len(letters))
	l.mu.Lock()
	if l.posts == nil {
		l.posts = make(map[string]*post)
	}
	for i, letter := range letters {
		posts[i] = &post{Letter: letter, at: time.Now()}
		l.posts[letter.Body] = posts[i] // before it is sent: it may arrive before it is answered
	}
	l.mu.Unlock()
	err := send()
	l.mu.Lock()
	for _, p := range posts {
		p.accepted = err == nil
	}
	l.mu.Unlock()
	return err
}

// Counts returns how many posts were accepted, and how many have an unknown outcome.
func (l *Ledger) Counts() (accepted, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.posts {
		if p.accepted {
			accepted++
		} else {
			unknown++
		}
	}
	return accepted, unknown
}

// Subscriber is a client, the channels that it watches, including its user's, and the name of its
// kind.
type Subscriber struct {
	*Client
	Kind     string
	Channels []channel.ID
}

// watches reports whether a letter is for the subscriber.
func (s Subscriber) watches(l Letter) bool {
	return s.Portal == l.Portal && overlap(l.Channels, s.Channels)
}

// Way is how a message came: the kind of its reader and the transport.
type Way struct{ Kind, Transport string }

// Report is the outcome of a comparison.
type Report struct {
	Lost, Doubled, Disordered int
	Crossed                   int // that came to a reader of another portal
	// Arrivals at a reader for whom they were not, or that were never posted.
	Foreign  int
	Arrivals int
	Gaps     int // notes of one, to all clients
	// Of the lost, the doubled and those out of order, those whose reader has no such note.
	Untold  int
	Delays  []time.Duration // from the post to the arrival, ascending
	Ways    map[Way][]time.Duration
	Silence time.Duration // the longest between two arrivals of one subscriber
	Counts  Counts        // of all clients
	Faults  []string      // the first ones, in words
}

// String returns the verdict.
func (r Report) String() string {
	return fmt.Sprintf("lost %d, doubled %d, out of order %d, crossed %d", r.Lost, r.Doubled, r.Disordered, r.Crossed)
}

// Delay returns the delay that the share q of the arrivals did not exceed.
func (r Report) Delay(q float64) time.Duration { return Quantile(r.Delays, q) }

// Quantile returns the value that the share q of ascending values does not exceed; 0 if there
// are none.
func Quantile(ascending []time.Duration, q float64) time.Duration {
	if len(ascending) == 0 {
		return 0
	}
	return ascending[min(int(q*float64(len(ascending))), len(ascending)-1)].Round(time.Millisecond / 10)
}

// OK reports whether the guarantee was kept and no client saw what it must not see.
func (r Report) OK() bool {
	return r.Lost+r.Doubled+r.Disordered+r.Crossed+r.Foreign+len(r.Faults) == 0
}

// Await returns when every subscriber has all its messages, or with an error when ctx ends.
func (l *Ledger) Await(ctx context.Context, subscribers []Subscriber) error {
	for {
		r := l.Check(subscribers)
		if r.Lost == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d deliveries are missing: %w", r.Lost, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Check compares the arrivals with the posts. A post with an unknown outcome must have reached
// either all of its subscribers or none. A message must have the same id for all readers. Since the
// ids rise for each reader, all of them then have the same order.
func (l *Ledger) Check(subscribers []Subscriber) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{Ways: make(map[Way][]time.Duration)}
	ids := make(map[string]string) // of bodies
	seen := make([]map[string]bool, len(subscribers))
	wrong := make([]int, len(subscribers))
	for i, s := range subscribers {
		before := r.Doubled + r.Disordered
		seen[i] = make(map[string]bool)
		var last time.Time
		for _, a := range s.Arrivals() {
			if !last.IsZero() {
				r.Silence = max(r.Silence, a.At.Sub(last))
			}
			last = a.At
			p := l.posts[a.Body]
			if !r.judge(s, a, p, seen[i][a.Body]) {
				continue
			}
			seen[i][a.Body] = true
			if id := ids[a.Body]; id == "" {
				ids[a.Body] = a.MID
			} else if id != a.MID {
				r.Disordered++
				r.fault("%s: %q came as %s, to others as %s", s.Name, a.Body, a.MID, id)
			}
			delay := a.At.Sub(p.at)
			r.Delays = append(r.Delays, delay)
			way := Way{s.Kind, a.Transport}
			r.Ways[way] = append(r.Ways[way], delay)
		}
		r.Arrivals += len(seen[i])
		r.Gaps += s.Gaps()
		faults, counts := s.Faults()
		r.Disordered += counts.Disordered
		wrong[i] = r.Doubled + r.Disordered - before
		r.Faults = append(r.Faults, faults...)
		r.Counts.add(counts)
	}
	for body, p := range l.posts {
		if !p.accepted && ids[body] == "" {
			continue
		}
		for i, s := range subscribers {
			if s.watches(p.Letter) && !seen[i][body] && s.due(ids[body]) {
				r.Lost++
				wrong[i]++
				r.fault("%s: %q did not come", s.Name, body)
			}
		}
	}
	for i, s := range subscribers {
		if s.Gaps() == 0 {
			r.Untold += wrong[i]
		}
	}
	slices.Sort(r.Delays)
	for _, delays := range r.Ways {
		slices.Sort(delays)
	}
	return r
}

// judge counts what is wrong with one arrival, and reports whether its message counts as received.
func (r *Report) judge(s Subscriber, a Arrival, p *post, again bool) bool {
	switch {
	case p != nil && p.Portal != s.Portal:
		r.Crossed++
		r.fault("%s: %q is of another portal", s.Name, a.Body)
		return false
	case p == nil || !overlap(p.Channels, s.Channels):
		r.Foreign++
		r.fault("%s: %q is not for it", s.Name, a.Body)
		return false
	case again:
		r.Doubled++
		r.fault("%s: %q came again as %s", s.Name, a.Body, a.MID)
	case a.Channel != "" && !slices.ContainsFunc(s.Channels, func(id channel.ID) bool { return id.String() == a.Channel }):
		r.Foreign++
		r.fault("%s: %q came by a channel that is not its own", s.Name, a.Body)
	}
	return true
}

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) < 20 {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

func (n *Counts) add(other Counts) {
	n.WebSockets += other.WebSockets
	n.Polls += other.Polls
	n.Streams += other.Streams
	n.Broken += other.Broken
	n.Heartbeats += other.Heartbeats
	n.Disordered += other.Disordered
	n.PortalCalls += other.PortalCalls
	for code, k := range other.Closes {
		n.init()
		n.Closes[code] += k
	}
	for status, k := range other.Statuses {
		n.init()
		n.Statuses[status] += k
	}
}

func overlap(a, b []channel.ID) bool {
	return slices.ContainsFunc(a, func(id channel.ID) bool { return slices.Contains(b, id) })
}
