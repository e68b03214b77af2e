package netpoll

import (
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"pushgate/internal/testkit"
)

func TestRestingConnsHaveNoGoroutine(t *testing.T) {
	const connections = 500
	var running sync.WaitGroup
	s := New(running.Go)
	before := runtime.NumGoroutine()
	var peers []*peer
	var clients []net.Conn
	for range connections {
		server, client := testkit.Pair(t, "tcp")
		peers, clients = append(peers, serve(t, s, server)), append(clients, client)
	}
	for _, client := range clients {
		client.Write([]byte("x"))
	}
	for _, p := range peers {
		testkit.Eventually(t, "it is read", func() bool { return p.bytes.Load() == 1 })
		if calls := p.calls.Load(); calls != 1 {
			t.Errorf("called %d times for one byte", calls)
		}
	}
	// One descriptor is the poller's.
	testkit.Eventually(t, "all rest again", func() bool { return runtime.NumGoroutine() <= before+1 })
	for i, p := range peers {
		p.Close()
		clients[i].Close()
	}
	s.Close()
	running.Wait()
}

// An event that was under way when its descriptor was closed does not wake the connection that has
// the descriptor now.
func TestEventOfAnEarlierGeneration(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	first, second := new(Conn), new(Conn)
	at, op := p.enter(first, 7)
	if op != syscall.EPOLL_CTL_ADD {
		t.Errorf("first: %d", op)
	}
	if again, op := p.enter(first, 7); op != syscall.EPOLL_CTL_MOD || again != at {
		t.Errorf("again: %d", op)
	}
	event := func(at place) []syscall.EpollEvent {
		return []syscall.EpollEvent{{Fd: at.fd, Pad: int32(at.generation)}}
	}
	if got := p.find(event(at), nil); len(got) != 1 || got[0] != first {
		t.Errorf("found %v", got)
	}
	p.forget(first)
	if got := p.find(event(at), nil); len(got) != 0 {
		t.Errorf("found %v after it has gone", got)
	}
	now, _ := p.enter(second, 7)
	if got := p.find(event(at), nil); len(got) != 0 {
		t.Errorf("found %v, who was not meant", got)
	}
	p.forget(first) // a second call removes no other connection
	if got := p.find(event(now), nil); len(got) != 1 || got[0] != second {
		t.Errorf("found %v", got)
	}
	p.generations = 1<<32 - 1
	if at, _ := p.enter(new(Conn), 8); at.generation == 0 {
		t.Error("a connection has generation 0")
	}
}

// With a kernel that accepts no more descriptors, connections need goroutines, and all else works.
func TestPollerThatRefuses(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	s.poller.Store(p)
	server, client := testkit.Pair(t, "tcp")
	served := serve(t, s, server)
	client.Write([]byte("x"))
	testkit.Eventually(t, "it is read", func() bool { return served.bytes.Load() == 1 })
	served.Close()
	client.Close()
	running.Wait()
}

// A connection that is closed while it is about to rest is woken all the same, and leaves nothing
// in the table.
func TestCloseWhileItGoesToRest(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	for range 2000 {
		server, client := testkit.Pair(t, "tcp")
		conn := s.Hold(server)
		ended := make(chan struct{})
		var closing sync.WaitGroup
		closing.Go(func() { conn.Close() })
		conn.Serve(func() bool {
			_, err := conn.Read(make([]byte, 1))
			if err != nil {
				close(ended)
			}
			return err == nil
		})
		<-ended
		closing.Wait()
		client.Close()
	}
	s.poller.Load().checkEmpty(t)
	s.Close()
	running.Wait()
}

// checkEmpty checks that no connection is in the table.
func (p *poller) checkEmpty(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for fd, c := range p.conns {
		if c != nil {
			t.Errorf("descriptor %d is still taken", fd)
		}
	}
}

// The same, at a moment that the scheduler hardly ever hits: Close has searched the table before
// the connection was put into it.
func TestArmedAfterClose(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	server, client := testkit.Pair(t, "tcp")
	defer client.Close()
	c := s.Hold(server)
	c.state.Store(closed) // Close has come as far as this
	c.armed(whenReadable)
	p := s.poller.Load()
	p.mu.Lock()
	if p.conns[c.place.fd] != nil {
		t.Error("it is still in the table")
	}
	p.mu.Unlock()
	server.Close()
	s.Close()
	running.Wait()
}
