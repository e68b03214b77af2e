package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// tick is how exactly messages expire in the embedded Redis.
const tick = 100 * time.Millisecond

// embedded is a Redis inside this process. It forgets everything when the process ends.
type embedded struct{ server *miniredis.Miniredis }

func startEmbedded() (*embedded, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return &embedded{server}, nil
}

// URL returns the address of e in the form of PUSHGATE_REDIS_URL.
func (e *embedded) URL() string { return "redis://" + e.server.Addr() }

// Run makes time pass in e until ctx ends: miniredis has no clock of its own, so nothing would ever
// expire.
func (e *embedded) Run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			e.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Close ends e.
func (e *embedded) Close() { e.server.Close() }
