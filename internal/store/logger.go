package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/loglimit"
)

// LogTo makes the client library write to a logger what it would write to the standard error, for
// all stores of this process. When Redis is away it says so for every connection: a line in ten
// seconds is a warning, the others are for debugging.
func LogTo(logger *slog.Logger) { redis.SetLogger(&clientLog{logger: logger}) }

// clientLog is a logger as go-redis wants it.
type clientLog struct {
	logger  *slog.Logger
	limiter loglimit.Limiter
}

// Printf logs one line.
func (c *clientLog) Printf(ctx context.Context, format string, args ...any) {
	lines, due := c.limiter.Count(time.Now())
	if !due {
		c.logger.DebugContext(ctx, "redis client", "text", fmt.Sprintf(format, args...))
		return
	}
	c.logger.WarnContext(ctx, "redis client", "text", fmt.Sprintf(format, args...), "lines", lines)
}
