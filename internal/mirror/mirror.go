// Package mirror sends copies of accepted posts to a second push server, without slowing or failing
// the posts themselves.
//
// Copies wait in a queue that is bounded in number and bytes. Several are sent at the same time,
// the oldest first, but none while an earlier one for the same channel is under way. So the copies
// of a channel arrive in the order of its posts. Whatever the other server does, only the counters
// change.
package mirror

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/loglimit"
	"pushgate/internal/proto"
)

// Config configures a mirror. Zero sizes and times take their defaults.
type Config struct {
	// The other server: scheme, host, and perhaps a user and password for basic authentication.
	URL      *url.URL
	MaxPosts int           // copies in the queue; 10,000. Beyond it, the oldest is dropped
	MaxBytes int64         // their memory; 64 MiB. Likewise
	Width    int           // most copies that are sent at the same time; 16
	Timeout  time.Duration // of one attempt to send; 5 s
	MaxAge   time.Duration // of a copy that could not be sent; 2 min. Then it is dropped
	Flush    time.Duration // most time to empty the queue when Run is to end; 3 s
	Logger   *slog.Logger  // nil: none
}

func (c Config) withDefaults() Config {
	if c.MaxPosts == 0 {
		c.MaxPosts = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Width == 0 {
		c.Width = 16
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.MaxAge == 0 {
		c.MaxAge = 2 * time.Minute
	}
	if c.Flush == 0 {
		c.Flush = 3 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Mirror sends copies of posts to another server. Copy may be called concurrently, and beside Run.
type Mirror struct {
	// Immutable after New.
	config        Config
	authorization string // header for the other server; empty is none
	transport     *http.Transport
	metrics       *metrics
	queue         *queue

	exact   atomic.Bool // the other server recognizes a copy that is sent again
	failing atomic.Bool // the last attempt got no answer, or one that asks for another attempt

	full, refusing, unanswered loglimit.Limiter
}

// New returns a mirror, and registers its metrics with reg.
func New(config Config, reg prometheus.Registerer) *Mirror {
	config = config.withDefaults()
	m := &Mirror{config: config, queue: newQueue(config.MaxPosts, config.MaxBytes, config.Width)}
	if user := config.URL.User; user != nil {
		m.authorization = basic(user)
	}
	m.transport = newTransport(config.Width)
	m.metrics = newMetrics(reg, m.queue)
	for _, l := range []*loglimit.Limiter{&m.full, &m.refusing, &m.unanswered} {
		l.Interval = time.Minute
	}
	return m
}

// Begin says that a post is about to be stored, and returns its number for Copy or End, one of
// which must be called soon: until then, no later copy is sent, because this post may come before
// it.
func (m *Mirror) Begin() uint64 { return m.queue.begin() }

// End says that there will be no copy of a post. After Copy it does nothing.
func (m *Mirror) End(number uint64) { m.queue.end(number) }

// Copy queues a copy of an accepted post, and returns at once. A post that is a copy itself is
// ignored. number is what Begin returned. Of posts that were stored at the same time, the one with
// the lower id is sent first; a zero id means that the order is not known. channels are those that
// the post goes to; nil means that they are not known, so the post keeps its place among all
// others. Copy keeps body and channels, which must not change any more.
func (m *Mirror) Copy(number uint64, r *http.Request, body []byte, id proto.ID, channels []channel.ID) {
	if r.Header[proto.MirrorHeader] != nil {
		m.queue.end(number)
		return
	}
	dropped := m.queue.put(&post{
		begun:    number,
		method:   r.Method,
		url:      m.target(r.URL),
		header:   m.header(r),
		body:     body,
		id:       id,
		channels: channels,
		since:    time.Now(),
	})
	if dropped > 0 {
		m.metrics.dropped.Add(float64(dropped))
		m.warn(&m.full, "the queue of the mirror is full; the oldest copies are dropped")
	}
}

// Run sends copies until ctx ends, and then for at most [Config.Flush] what is still in the queue.
// It must be called once.
func (m *Mirror) Run(ctx context.Context) {
	defer m.transport.CloseIdleConnections()
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(m.config.Flush):
			stop()
		case <-sending.Done():
		}
	})()
	var sends sync.WaitGroup
	for sending.Err() == nil {
		if p := m.queue.take(); p != nil {
			sends.Go(func() { m.send(sending, p) })
			continue
		}
		waiting := ctx
		if n, _, _ := m.queue.state(); n > 0 {
			waiting = sending
		} else if ctx.Err() != nil {
			break
		}
		select {
		case <-m.queue.wake:
		case <-waiting.Done():
		}
	}
	sends.Wait()
	if lost := m.queue.clear(); lost > 0 {
		m.metrics.dropped.Add(float64(lost))
		m.config.Logger.Warn("copies for the mirror dropped at the end", "mirror", m.config.URL.Host, "posts", lost)
	}
}

// warn logs a line about the mirror, unless there was one lately.
func (m *Mirror) warn(limiter *loglimit.Limiter, text string, more ...any) {
	if _, due := limiter.Count(time.Now()); due {
		m.config.Logger.Warn(text, append([]any{"mirror", m.config.URL.Host}, more...)...)
	}
}
