package front

import (
	"time"
)

// Tick implements [netpoll.Member]. It closes a connection on which nothing has come in time.
func (c *Conn) Tick(now time.Time) {
	c.mu.Lock()
	var most time.Duration
	switch {
	case c.phase == waiting && (c.fresh || len(c.pending) > 0):
		// At the next tick it would be too late.
		most = HeadTimeout - c.server.config.Heartbeats.Interval()
	case c.phase == waiting:
		most = KeepTimeout
	case c.phase == lingering:
		most = lingerTimeout
	default:
		c.mu.Unlock()
		return
	}
	if now.Sub(c.since) < most {
		c.mu.Unlock()
		return
	}
	c.closeLocked()
}

// Leave implements [netpoll.Member]. A new connection gets a moment more, because its request may
// be on its way.
func (c *Conn) Leave() {
	c.mu.Lock()
	age := time.Since(c.since)
	switch {
	case c.phase == waiting && c.fresh && age < leaveGrace:
		time.AfterFunc(leaveGrace-age, c.Leave)
	case c.phase == waiting, c.phase == lingering:
		c.closeLocked()
		return
	case c.phase == held:
		c.keep = false
		holder := c.holder
		c.mu.Unlock()
		holder.Leave()
		return
	case c.phase == handling:
		c.keep = false
	}
	c.mu.Unlock()
}

// Cut implements [netpoll.Member]. An answer that waits for its client to read fails.
func (c *Conn) Cut() {
	c.mu.Lock()
	c.fresh, c.cut = false, true
	if c.phase == handling {
		c.net.SetWriteDeadline(time.Now())
	}
	c.mu.Unlock()
	c.Leave()
}
