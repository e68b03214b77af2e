// Package loglimit decides when to log what may happen very often.
package loglimit

import (
	"cmp"
	"sync"
	"time"
)

// usual is the time between two log lines about what may happen to every client at once.
const usual = 10 * time.Second

// Limiter lets one line through in an interval. The zero value is ready to use. Its method may be
// called concurrently.
type Limiter struct {
	Interval time.Duration // between two lines; 0 is 10 s. Not to be changed after the first use

	mu    sync.Mutex
	since int // times since the last line
	at    time.Time
}

// Count counts one time. It reports whether a line is due, and how many times that line is about.
func (l *Limiter) Count(now time.Time) (times int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since++
	if !l.at.IsZero() && now.Sub(l.at) < cmp.Or(l.Interval, usual) {
		return 0, false
	}
	times = l.since
	l.since, l.at = 0, now
	return times, true
}
