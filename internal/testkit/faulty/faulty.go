// Package faulty is a proxy between a program and its server that fails on demand, for tests.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy forwards connections to an upstream server. Its methods may be called concurrently. They
// affect existing and later connections, unless they say otherwise. Methods that close connections
// have closed them when they return.
type Proxy struct {
	network, upstream string       // immutable
	listener          net.Listener // immutable
	wg                sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	closed   bool
	refuse   bool
	delay    time.Duration
	cutAfter int  // bytes of replies that still pass; negative: no limit
	requests flow // of bytes to the upstream
	replies  flow
}

// flow is a channel that is closed while bytes may pass. A stall replaces it by an open one.
type flow chan struct{}

func (f *flow) stall() {
	select {
	case <-*f:
		*f = make(flow)
	default:
	}
}

func (f *flow) resume() {
	select {
	case <-*f:
	default:
		close(*f)
	}
}

// New starts a proxy on a free port of the loopback. The upstream is host:port, or "unix:" and the
// path of a unix socket. The caller must close the proxy.
func New(upstream string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", upstream, err)
	}
	p := &Proxy{network: "tcp", upstream: upstream, listener: listener, links: make(map[*link]struct{}), cutAfter: -1}
	if path, ok := strings.CutPrefix(upstream, "unix:"); ok {
		p.network, p.upstream = "unix", path
	}
	p.requests, p.replies = make(flow), make(flow)
	close(p.requests)
	close(p.replies)
	p.wg.Go(p.accept)
	return p, nil
}

// Start is [New] for a proxy that is closed when the test ends.
func Start(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p, err := New(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// Addr returns the host and port that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut closes all existing connections. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

// Refuse closes each new connection at once, until it is called with false. Existing connections
// stay.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// Stall keeps connections open and accepts new ones, but no byte passes until [Proxy.Resume]. No
// byte is lost.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests.stall()
	p.replies.stall()
}

// StallReplies is [Proxy.Stall] for the bytes from the upstream only: requests still arrive there.
func (p *Proxy) StallReplies() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replies.stall()
}

// Strand stops the replies of existing connections, and Resume does not resume them. Only
// [Proxy.Cut] ends these connections. New ones work.
func (p *Proxy) Strand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.stranded = true
	}
}

// Resume ends a stall.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests.resume()
	p.replies.resume()
}

// Delay delays all bytes, in both directions, by d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// CutAfter lets n more bytes of replies pass, over all connections together, and then calls Cut
// once. The requests have then arrived in full.
func (p *Proxy) CutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = n
}

// Close stops the proxy, closes all connections, and waits for their goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.cutLocked()
	p.mu.Unlock()
	err := p.listener.Close()
	p.wg.Wait()
	return err
}

func (p *Proxy) cutLocked() {
	for l := range p.links {
		l.close()
	}
	clear(p.links)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.wg.Go(func() { p.serve(client) })
		}
	}
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	ctx            context.Context // ends when the link is closed
	cancel         context.CancelFunc
	stranded       bool // guarded by Proxy.mu
}

func (l *link) close() {
	l.cancel()
	_ = l.client.Close()
	_ = l.server.Close()
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	if refuse {
		_ = client.Close()
		return
	}
	server, err := net.DialTimeout(p.network, p.upstream, time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	if p.closed || p.refuse {
		l.close()
	} else {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()

	p.wg.Go(func() { p.forward(l, server, client, false) })
	p.forward(l, client, server, true)
}

// forward copies bytes until either side is closed, then closes both.
func (p *Proxy) forward(l *link, to, from net.Conn, replies bool) {
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.pass(l, to, buf[:n], replies) || err != nil {
			return
		}
	}
}

// pass writes bytes as soon as they may pass, and reports whether the link is still open.
func (p *Proxy) pass(l *link, to net.Conn, b []byte, replies bool) bool {
	p.mu.Lock()
	delay, flow := p.delay, p.requests
	if replies {
		flow = p.replies
		if l.stranded {
			flow = nil
		}
	}
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-l.ctx.Done():
			return false
		case <-time.After(delay):
		}
	}
	select {
	case <-l.ctx.Done():
		return false
	case <-flow:
	}
	p.mu.Lock()
	cut := replies && p.cutAfter >= 0 && p.cutAfter <= len(b)
	switch {
	case cut:
		b, p.cutAfter = b[:p.cutAfter], -1
	case replies && p.cutAfter >= 0:
		p.cutAfter -= len(b)
	}
	p.mu.Unlock()
	_, err := to.Write(b)
	if cut {
		p.Cut()
	}
	return err == nil && !cut
}
