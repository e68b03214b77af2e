package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// fakeEdge has sessions that are only sockets, by the names of their portals.
type fakeEdge struct {
	ready atomic.Bool
	full  atomic.Bool

	mu    sync.Mutex
	conns map[string]net.Conn
}

func newFakeEdge() *fakeEdge {
	e := &fakeEdge{conns: make(map[string]net.Conn)}
	e.ready.Store(true)
	return e
}

func (e *fakeEdge) Ready() error {
	if !e.ready.Load() {
		return errors.New("not yet")
	}
	return nil
}

func (e *fakeEdge) Adopt(_ context.Context, r Record, conn net.Conn, confirm func() error) error {
	if e.full.Load() {
		return errors.New("full")
	}
	if err := confirm(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns[r.Portal] = conn
	return nil
}

func (e *fakeEdge) HandOver(_ context.Context, give Give) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, conn := range e.conns {
		r := least
		r.Portal = name
		taken, err := give(r, conn)
		if taken {
			conn.Close()
			delete(e.conns, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *fakeEdge) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns)
}

// process stands for a real process: a succession, an edge, and a goroutine that accepts.
type process struct {
	*Succession
	edge     *fakeEdge
	listener net.Listener
	left     chan struct{} // closed by leave
	ended    chan error
	stop     func()
}

const address = "127.0.0.1:0"

func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

func opened(t *testing.T, path string) *Succession {
	t.Helper()
	s, err := Open(path, listen, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.patience = 200 * time.Millisecond
	return s
}

func start(t *testing.T, path string, change func(*process)) *process {
	t.Helper()
	p := &process{Succession: opened(t, path), edge: newFakeEdge(), left: make(chan struct{}), ended: make(chan error, 1)}
	if change != nil {
		change(p)
	}
	var err error
	if p.listener, err = p.Listen(address); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.ended <- p.Run(ctx, p.edge, func() { close(p.left) }) })
	running.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.edge.mu.Lock()
			p.edge.conns[fmt.Sprint(len(p.edge.conns))] = conn
			p.edge.mu.Unlock()
		}
	})
	p.stop = sync.OnceFunc(func() {
		p.listener.Close()
		cancel()
		running.Wait()
		for _, conn := range p.edge.conns {
			conn.Close()
		}
	})
	t.Cleanup(p.stop)
	return p
}

// raw is the link of a successor whose messages the test sends.
func raw(t *testing.T, path string) link {
	t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	l := newLink(conn)
	l.limit(10 * time.Second)
	return l
}

func (l link) say(t *testing.T, m message, descriptors ...int) {
	t.Helper()
	if err := l.send(m, descriptors...); err != nil {
		t.Fatal(err)
	}
}

func (l link) hear(t *testing.T) message {
	t.Helper()
	m, files, err := l.receive()
	if err != nil {
		t.Fatal(err)
	}
	closeAll(files)
	return m
}

// descriptors checks that the test leaves no descriptor open.
func descriptors(t *testing.T) {
	before := testkit.Descriptors(t)
	t.Cleanup(func() {
		testkit.Eventually(t, "all descriptors are closed", func() bool { return testkit.Descriptors(t) <= before })
	})
}

// notProbed checks that no connection, accepted or handed over, has TCP keep-alive.
func (p *process) notProbed(t *testing.T) {
	t.Helper()
	p.edge.mu.Lock()
	defer p.edge.mu.Unlock()
	for name, conn := range p.edge.conns {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			if probed, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); probed != 0 || err != nil {
				t.Errorf("connection %s: keep-alive is %d, %v", name, probed, err)
			}
		})
	}
}

// clients makes n connections, and waits until p has accepted them.
func (p *process) clients(t *testing.T, n int) (all []net.Conn) {
	t.Helper()
	before := p.edge.count()
	for i := range n {
		conn, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
		testkit.Eventually(t, "it is accepted", func() bool { return p.edge.count() == before+i+1 })
	}
	return all
}

// reach makes p write to all its clients, and checks that they receive it and are not disconnected.
func (p *process) reach(t *testing.T, clients []net.Conn, word string) {
	t.Helper()
	p.edge.mu.Lock()
	for _, conn := range p.edge.conns {
		conn.Write([]byte(word))
	}
	p.edge.mu.Unlock()
	for _, client := range clients {
		got := make([]byte, len(word))
		client.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(client, got); err != nil || string(got) != word {
			t.Errorf("got %q, %v; want %q", got, err, word)
		}
	}
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "edge.sock") }
