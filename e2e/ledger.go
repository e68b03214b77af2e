package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
)

// Ledger is what was published, to be held against what arrived. Bodies are the keys: no two posts may have the same.
type Ledger struct {
	mu    sync.Mutex
	posts map[string]*post
}

type post struct {
	channels []channel.ID
	accepted bool // else its outcome is unknown: it may have been published, or not
	at       time.Time
}

// Post publishes by send and notes the outcome. A post whose outcome is unknown must not be sent again: it could come twice.
func (l *Ledger) Post(body string, channels []channel.ID, send func() error) error {
	p := &post{channels: channels, at: time.Now()}
	l.mu.Lock()
	if l.posts == nil {
		l.posts = make(map[string]*post)
	}
	l.posts[body] = p // before it is sent: it may arrive before it is answered
	l.mu.Unlock()
	err := send()
	l.mu.Lock()
	p.accepted = err == nil
	l.mu.Unlock()
	return err
}

// Counts gives how many posts were accepted, and of how many nobody knows.
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

// Subscriber is a client and the channels that it watches.
type Subscriber struct {
	*Client
	Channels []channel.ID
}

// Report is what became of what was published.
type Report struct {
	Lost, Doubled, Disordered, Foreign int
	Arrivals                           int
	Gaps                               int             // notes of one, to all clients
	Delays                             []time.Duration // from the post to the arrival, ascending
	Counts                             Counts          // of all clients
	Faults                             []string        // the first ones, in words
}

// String gives the verdict.
func (r Report) String() string {
	return fmt.Sprintf("lost %d, doubled %d, out of order %d", r.Lost, r.Doubled, r.Disordered)
}

// Delay gives the delay that the share q of the arrivals did not exceed.
func (r Report) Delay(q float64) time.Duration {
	if len(r.Delays) == 0 {
		return 0
	}
	return r.Delays[min(int(q*float64(len(r.Delays))), len(r.Delays)-1)].Round(time.Millisecond / 10)
}

// OK reports whether the guarantee was kept and no client saw what it must not see.
func (r Report) OK() bool { return r.Lost+r.Doubled+r.Disordered+r.Foreign+len(r.Faults) == 0 }

// Await returns when every subscriber has what it is due, or with an error when ctx ends.
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

// Check holds the arrivals against the posts. Of a post with an unknown outcome, either all of its subscribers must have it or
// none.
func (l *Ledger) Check(subscribers []Subscriber) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r Report
	seen := make([]map[string]int, len(subscribers))
	published := make(map[string]bool)
	for i, s := range subscribers {
		seen[i] = make(map[string]int)
		for _, a := range s.Arrivals() {
			seen[i][a.Body]++
			p := l.posts[a.Body]
			switch {
			case p == nil || !overlap(p.channels, s.Channels):
				r.Foreign++
				r.fault("%s: %q is not for it", s.Name, a.Body)
				continue
			case seen[i][a.Body] > 1:
				r.Doubled++
				r.fault("%s: %q came again as %s", s.Name, a.Body, a.MID)
			case a.Channel != "" && !slices.ContainsFunc(s.Channels, func(id channel.ID) bool { return id.String() == a.Channel }):
				r.Foreign++
				r.fault("%s: %q came by a channel that is not its own", s.Name, a.Body)
			}
			r.Delays = append(r.Delays, a.At.Sub(p.at))
			published[a.Body] = true
		}
		r.Arrivals += len(seen[i])
		r.Gaps += s.Gaps()
		faults, counts := s.Faults()
		r.Disordered += counts.Disordered
		r.Faults = append(r.Faults, faults...)
		r.Counts.add(counts)
	}
	for body, p := range l.posts {
		if !p.accepted && !published[body] {
			continue
		}
		for i, s := range subscribers {
			if overlap(p.channels, s.Channels) && seen[i][body] == 0 {
				r.Lost++
				r.fault("%s: %q did not come", s.Name, body)
			}
		}
	}
	slices.Sort(r.Delays)
	return r
}

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) < 20 {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

func (n *Counts) add(other Counts) {
	n.WebSockets += other.WebSockets
	n.Polls += other.Polls
	n.Broken += other.Broken
	n.Disordered += other.Disordered
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
