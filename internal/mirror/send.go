package mirror

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/wait"
)

const (
	dialTimeout = 2 * time.Second
	// idleTimeout is how long a connection is kept. The original servers close theirs after 5 s; a
	// copy that meets a closing connection may be lost.
	idleTimeout = 4 * time.Second
	// maxAnswer is how much of an answer is read, in bytes, so that its connection can be used
	// again.
	maxAnswer = 64 << 10
	// maxHeader bounds the header of an answer, in bytes. Without a bound of its own, a transport
	// keeps 10 MiB of each.
	maxHeader = 64 << 10

	minPause = 50 * time.Millisecond // before a copy is sent again
	maxPause = time.Second
)

// newTransport returns what sends copies: no proxy from the environment, no compression, and as
// many kept connections as can be in use.
func newTransport(width int) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: width,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,

		MaxResponseHeaderBytes: maxHeader,
	}
}

// result is how an attempt to send a copy ended.
type result int

const (
	sent      result = iota
	refused          // the other server answered that it does not take it
	uncertain        // no answer: it may have been published, or not
	again            // it has surely not been published twice if it is sent again
)

// send sends a post, and returns when it is done: sent, refused, of unknown fate, or too old. If
// ctx ends first, it is dropped.
func (m *Mirror) send(ctx context.Context, p *post) {
	defer m.queue.done(p)
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		switch m.attempt(ctx, p) {
		case sent:
			m.metrics.sent.Inc()
			m.metrics.lag.Observe(time.Since(p.since).Seconds())
			return
		case refused:
			m.metrics.refused.Inc()
			return
		case uncertain:
			m.metrics.uncertain.Inc()
			return
		}
		if time.Since(p.since) >= m.config.MaxAge {
			m.metrics.expired.Inc()
			return
		}
		if wait.For(ctx, pause/2+rand.N(pause/2)); ctx.Err() != nil {
			m.metrics.dropped.Inc()
			return
		}
	}
}

// attempt sends a post once.
func (m *Mirror) attempt(ctx context.Context, p *post) result {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r := (&http.Request{Method: p.method, URL: p.url, Header: p.header, ContentLength: int64(len(p.body))}).WithContext(ctx)
	if len(p.body) > 0 {
		// Without GetBody: it is decided here whether a copy is sent again, not in the transport.
		r.Body = io.NopCloser(bytes.NewReader(p.body))
	}
	answer, err := m.transport.RoundTrip(r) // follows no redirection
	if err != nil {
		m.noAnswer(err)
		if connected.Load() && !m.exact.Load() {
			return uncertain
		}
		return again
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // the status says it all
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		m.exact.Store(answer.Header.Get(proto.MirrorHeader) != "")
		if m.failing.Swap(false) {
			m.config.Logger.Info("the mirror answers again", "mirror", m.config.URL.Host)
		}
		return sent
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable:
		m.noAnswer(fmt.Errorf("status %d", status))
		return again
	case status == http.StatusGatewayTimeout && m.exact.Load():
		return again
	case status == http.StatusGatewayTimeout:
		return uncertain
	default:
		m.warn(&m.refusing, "the mirror refuses copies of posts", "status", status)
		return refused
	}
}

// noAnswer logs why the other server takes nothing. The errors of a transport hold no query.
func (m *Mirror) noAnswer(err error) {
	m.failing.Store(true)
	m.warn(&m.unanswered, "the mirror does not answer; copies wait or are lost", "error", err)
}
