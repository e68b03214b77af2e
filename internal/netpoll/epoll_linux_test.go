package netpoll

import (
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

func TestRestingConnsHaveNoGoroutine(t *testing.T) {
	const connections = 500
	var running sync.WaitGroup
	s := New(running.Go)
	n := newNetwork(t, "tcp", "127.0.0.1:0")
	before := runtime.NumGoroutine()
	var peers []*peer
	var clients []net.Conn
	for range connections {
		server, client := n.pair(t)
		peers, clients = append(peers, serve(t, s, server)), append(clients, client)
	}
	for _, client := range clients {
		client.Write([]byte("x"))
	}
	for _, p := range peers {
		eventually(t, "it is read", func() bool { return p.bytes.Load() == 1 })
		if calls := p.calls.Load(); calls != 1 {
			t.Errorf("called %d times for one byte", calls)
		}
	}
	// One is the poller's.
	eventually(t, "all rest again", func() bool { return runtime.NumGoroutine() <= before+1 })
	for i, p := range peers {
		p.Close()
		clients[i].Close()
	}
	s.Close()
	running.Wait()
}

// An event that was on its way when its descriptor was closed is not about the one that has the
// descriptor now.
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
	p.forget(first) // a second time takes nobody else out
	if got := p.find(event(now), nil); len(got) != 1 || got[0] != second {
		t.Errorf("found %v", got)
	}
	p.generations = 1<<32 - 1
	if at, _ := p.enter(new(Conn), 8); at.generation == 0 {
		t.Error("nobody has generation 0")
	}
}

// A kernel that takes no more descriptors costs goroutines, and nothing else.
func TestPollerThatRefuses(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	s.poller.Store(p)
	server, client := newNetwork(t, "tcp", "127.0.0.1:0").pair(t)
	served := serve(t, s, server)
	client.Write([]byte("x"))
	eventually(t, "it is read", func() bool { return served.bytes.Load() == 1 })
	served.Close()
	client.Close()
	running.Wait()
}

// A connection that is closed while it is being laid to rest is woken all the same, and leaves
// nothing in the table.
func TestCloseWhileItGoesToRest(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	n := newNetwork(t, "tcp", "127.0.0.1:0")
	for range 2000 {
		server, client := n.pair(t)
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

// checkEmpty holds that no connection has a place.
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

// The same, at the one moment that the scheduler hardly ever finds: Close has been at the table
// before the connection came into it.
func TestArmedAfterClose(t *testing.T) {
	var running sync.WaitGroup
	s := New(running.Go)
	server, client := newNetwork(t, "tcp", "127.0.0.1:0").pair(t)
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
