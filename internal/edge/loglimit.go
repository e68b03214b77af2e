package edge

import (
	"sync"
	"time"
)

// logInterval is the time between two lines in the log about what may happen to every client at once.
const logInterval = 10 * time.Second

// logLimiter says when to write a line about something, and of how many times. Its method may be called concurrently.
type logLimiter struct {
	mu    sync.Mutex
	since int // times that no line has told of
	at    time.Time
}

// count counts one time. It reports whether a line is due, and of how many times.
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
