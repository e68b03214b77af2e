package edge

import (
	"sync"
	"time"
)

// logInterval is the time between two log lines about what may happen to every client at once.
const logInterval = 10 * time.Second

// logLimiter decides when to log something that may happen often. Its method may be called
// concurrently.
type logLimiter struct {
	mu    sync.Mutex
	since int // times since the last line
	at    time.Time
}

// count counts one time. It reports whether a line is due, and how many times that line is about.
func (l *logLimiter) count(now time.Time) (times int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since++
	if !l.at.IsZero() && now.Sub(l.at) < logInterval {
		return 0, false
	}
	times = l.since
	l.since, l.at = 0, now
	return times, true
}
