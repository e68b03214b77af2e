package edge

import (
	"context"
	"net"
	"sync"
)

// pipeListener is a network of pipes, which works in a bubble.
type pipeListener struct {
	pipe   func() (server, client net.Conn)
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener(pipe func() (net.Conn, net.Conn)) *pipeListener {
	return &pipeListener{pipe: pipe, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := l.pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// restingPipe is an end of a pipe that reports when it can be read, by reading one write ahead. It
// implements [netpoll.Notifier].
type restingPipe struct {
	net.Conn
	mu    sync.Mutex
	rest  []byte         // of what was read ahead; owned by the reader
	ahead chan readAhead // of the reading ahead that is under way or done; nil if there is none
	tell  func()         // when it is done
	// It was handed to another edge, like a descriptor: the next Close does not close it, because
	// the other edge has it.
	given bool
}

type readAhead struct {
	bytes []byte
	err   error
}

func newRestingPipe() (server, client net.Conn) {
	server, client = newPipe()
	return &restingPipe{Conn: server}, client
}

func (p *restingPipe) NotifyReadable(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell = f
	switch {
	case len(p.rest) > 0 || len(p.ahead) > 0:
		go f()
		return
	case p.ahead == nil:
	default: // for its last holder
		return
	}
	ahead := make(chan readAhead, 1)
	p.ahead = ahead
	go func() {
		buffer := make([]byte, 4096)
		n, err := p.Conn.Read(buffer)
		p.mu.Lock()
		ahead <- readAhead{buffer[:n], err}
		tell := p.tell
		p.mu.Unlock()
		tell()
	}()
}

func (p *restingPipe) Close() error {
	p.mu.Lock()
	given := p.given
	p.given = false
	p.mu.Unlock()
	if given {
		return nil
	}
	return p.Conn.Close()
}

func (p *restingPipe) Read(b []byte) (int, error) {
	if len(p.rest) > 0 {
		n := copy(b, p.rest)
		p.rest = p.rest[n:]
		return n, nil
	}
	p.mu.Lock()
	ahead := p.ahead
	p.ahead = nil
	p.mu.Unlock()
	if ahead == nil {
		return p.Conn.Read(b)
	}
	read := <-ahead
	if read.err != nil {
		return 0, read.err
	}
	n := copy(b, read.bytes)
	p.rest = read.bytes[n:]
	return n, nil
}
