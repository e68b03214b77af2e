package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/netpoll"
	"pushgate/internal/rpc"
	"pushgate/internal/testkit"
	"pushgate/internal/transport"
)

// panics collects the places where panics were recovered.
type panics struct {
	mu    sync.Mutex
	where []string
}

func (p *panics) report(where string, _ any, _ []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.where = append(p.where, where)
}

// want fails the test unless panics were recovered at exactly these places, and then forgets them.
func (p *panics) want(t *testing.T, where ...string) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.where, where) {
		t.Errorf("recovered at %q, want %q", p.where, where)
	}
	p.where = nil
}

// wantNobody fails the test if anything of a connection is left.
func (w *world) wantNobody() {
	w.t.Helper()
	for _, kind := range []transport.Kind{transport.KindWebSocket, transport.KindPoll, transport.KindStream} {
		if n := w.value("connections", string(kind)); n != 0 {
			w.t.Errorf("%v connections by %s", n, kind)
		}
	}
	t := w.edge.personal()
	if n := t.hub.Channels(); n != 0 {
		w.t.Errorf("%d channels have sessions", n)
	}
	w.edge.mu.Lock()
	connections := t.connections
	w.edge.mu.Unlock()
	if open, all := w.edge.shared.Conns.Open(), len(w.edge.shared.Heartbeats.Members()); connections != 0 || open != 0 || all != 0 {
		w.t.Errorf("connections: %d of the tenant, %d open, %d that are ticked", connections, open, all)
	}
}

// faultyCommands panics in every method.
type faultyCommands struct{}

func (faultyCommands) Client(context.Context, channel.ID, []byte) ([]byte, error) { panic("fault") }
func (faultyCommands) Call(context.Context, command.Caller, rpc.Call) (rpc.Reply, error) {
	panic("fault")
}

// faultyMember panics in Tick and in Leave.
type faultyMember struct{ ticks, cuts int }

func (m *faultyMember) Tick(time.Time) { m.ticks++; panic("fault") }
func (m *faultyMember) Leave()         { panic("fault") }
func (m *faultyMember) Cut()           { m.cuts++ }

// faultyEvictable panics when it is evicted.
type faultyEvictable struct{}

func (faultyEvictable) Evict() { panic("fault") }

// faultyConn is a connection that panics when it is read.
type faultyConn struct{ net.Conn }

func (faultyConn) Read([]byte) (int, error) { panic("fault") }

func inFaultyWorld(t *testing.T, change func(*settings), test func(*testing.T, *world, *panics)) {
	var p panics
	inWorld(t, func(s *settings) {
		s.Config.Panics = p.report
		if change != nil {
			change(s)
		}
	}, func(t *testing.T, w *world) { test(t, w, &p) })
}

func TestPanicInAReader(t *testing.T) {
	inFaultyWorld(t, func(s *settings) { s.Commands = faultyCommands{} }, func(t *testing.T, w *world, p *panics) {
		conn := w.dial(w.url("/bitrix/subws/", signed(alice), "binaryMode", "true"))
		conn.Write(t.Context(), websocket.MessageBinary, []byte("x"))
		p.want(t, "read")
		if _, err := w.read(conn); err == nil {
			t.Error("the connection goes on")
		}
		w.wantNobody()
	})
}

func TestPanicInAHead(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		server, client := newPipe()
		w.edge.accept(faultyConn{server})
		synctest.Wait()
		p.want(t, "head")
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("not closed: %v", err)
		}
		w.wantNobody()
	})
}

func TestPanicInARequest(t *testing.T) {
	public := testkit.Channel(9)
	limit := func(s *settings) { s.Limits.Connections = 1 }
	inFaultyWorld(t, limit, func(t *testing.T, w *world, p *panics) {
		list := signer.Sign(channel.Ref{Private: alice, Public: public}).String()
		for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"} {
			w.edge.personal().users.enter(public, 1, faultyEvictable{})
			conn, err := w.listener.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", strings.TrimPrefix(w.url("/bitrix/sub/", list), "http://push.test"), upgrade)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			// Without an answer, nginx would avoid this edge and send the request to the next one.
			if err != nil {
				t.Errorf("not answered: %v", err)
			} else if s := response.StatusCode; s != http.StatusInternalServerError && s != http.StatusSwitchingProtocols {
				t.Errorf("answered %d", s)
			}
			synctest.Wait()
			where := p.where
			if p.where = nil; len(where) != 1 {
				t.Errorf("recovered at %q", where)
			}
			conn.Close()
			w.wantNobody()
		}
	})
}

func TestPanicInATick(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		m := new(faultyMember)
		slot := netpoll.RandomSlot()
		w.edge.shared.Heartbeats.Add(m, slot)
		conn := w.dial(w.url("/bitrix/subws/", signed(alice)))
		time.Sleep(w.edge.shared.Heartbeats.Interval())
		synctest.Wait() // the tick may be due at this very instant
		w.edge.shared.Heartbeats.Remove(m, slot)
		p.want(t, "tick")
		if m.cuts != 1 {
			t.Errorf("cut %d times", m.cuts)
		}
		conn.CloseNow()
		w.wantNobody()
	})
}
