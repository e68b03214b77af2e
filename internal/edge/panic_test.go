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
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

// panics collects where panics were recovered.
type panics struct {
	mu    sync.Mutex
	where []string
}

func (p *panics) report(where string, _ any, _ []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.where = append(p.where, where)
}

// want fails the test unless panics were recovered at these places, and forgets them.
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
	for _, transport := range []transport{webSocket, longPoll, stream} {
		if n := w.value("connections", string(transport)); n != 0 {
			w.t.Errorf("%v connections by %s", n, transport)
		}
	}
	t := w.edge.personal()
	if n := t.hub.Channels(); n != 0 {
		w.t.Errorf("%d channels have sessions", n)
	}
	w.edge.mu.Lock()
	connections := t.connections
	w.edge.mu.Unlock()
	if apart, all := w.edge.ceiling.apart.Load(), len(w.edge.wheel.members()); connections != 0 || apart != 0 || all != 0 {
		w.t.Errorf("connections: %d of the tenant, %d in the ceiling, %d on the wheel", connections, apart, all)
	}
}

// faultyCommands panics whatever it is asked.
type faultyCommands struct{}

func (faultyCommands) Client(context.Context, channel.ID, []byte) ([]byte, error) { panic("fault") }
func (faultyCommands) Call(context.Context, command.Caller, rpc.Call) (rpc.Reply, error) {
	panic("fault")
}

// faultyTurn is a connection whose turn panics.
type faultyTurn struct{ writable }

func (faultyTurn) turn(*press) bool { panic("fault") }

// faultyMember panics whenever it is visited or asked to go.
type faultyMember struct{ visits, cuts int }

func (m *faultyMember) visit(time.Time) { m.visits++; panic("fault") }
func (m *faultyMember) leave()          { panic("fault") }
func (m *faultyMember) cut()            { m.cuts++ }

// faultyGuest panics when it is to make room.
type faultyGuest struct{}

func (faultyGuest) makeRoom() { panic("fault") }

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

func TestPanicInATurn(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		faulty, other := w.dial(w.url("/bitrix/subws/", signed(alice))), w.dial(w.url("/bitrix/subws/", signed(bob)))
		for _, m := range w.edge.wheel.members() {
			if c, ok := m.(*wsConn); ok && c.sub.channels[0] == alice {
				w.edge.writers.add(faultyTurn{c})
			}
		}
		p.want(t, "turn")
		if _, err := w.read(faulty); err == nil {
			t.Error("the connection goes on")
		}
		m := w.publish(`{}`, bob)
		if got, err := w.read(other); got != text(m, bob) || err != nil {
			t.Errorf("the other reader got %q, %v", got, err)
		}
		if n := w.value("session_ends_total", "panic"); n != 1 || !w.edge.writers.idle() {
			t.Errorf("%v connections ended by a panic", n)
		}
		other.CloseNow()
		w.wantNobody()
	})
}

func TestPanicInATurnOfAPoll(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		answers := w.get(w.url("/bitrix/sub/", signed(alice)))
		for _, m := range w.edge.wheel.members() {
			if held, ok := m.(*poll); ok {
				w.edge.writers.add(faultyTurn{held})
			}
		}
		p.want(t, "turn")
		if got := <-answers; got.err == nil {
			t.Errorf("answered %d", got.status)
		}
		w.wantNobody()
	})
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
		w.edge.Accept(faultyConn{server})
		synctest.Wait()
		p.want(t, "head")
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("not closed: %v", err)
		}
		w.wantNobody()
	})
}

func TestPanicInARequest(t *testing.T) {
	public := channel.FromBytes([16]byte{9})
	limit := func(s *settings) { s.Limits.Connections = 1 }
	inFaultyWorld(t, limit, func(t *testing.T, w *world, p *panics) {
		list := signer.Sign(channel.Ref{Private: alice, Public: public}).String()
		for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"} {
			w.edge.personal().crowds.enter(public, 1, faultyGuest{})
			conn, err := w.listener.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", strings.TrimPrefix(w.url("/bitrix/sub/", list), "http://push.test"), upgrade)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("answered %d", response.StatusCode)
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

func TestPanicInAVisit(t *testing.T) {
	inFaultyWorld(t, nil, func(t *testing.T, w *world, p *panics) {
		m := new(faultyMember)
		slot := w.edge.wheel.add(m)
		conn := w.dial(w.url("/bitrix/subws/", signed(alice)))
		time.Sleep(w.edge.wheel.turn)
		w.edge.wheel.remove(m, slot)
		p.want(t, "visit")
		if m.cuts != 1 {
			t.Errorf("cut %d times", m.cuts)
		}
		conn.CloseNow()
		w.wantNobody()
	})
}

// A message that cannot be encoded is skipped: its readers would end, again whenever they come back.
func TestPanicOverOneMessage(t *testing.T) {
	var recovered panics
	packets := packets{panics: recovered.report}
	poison := &proto.Message{Body: []byte("poison")}
	codec := &codec{frame: func(m *proto.Message, sub *subscription) *proto.Frame {
		if m == poison {
			panic("fault")
		}
		return textCodec.frame(m, sub)
	}}
	good := func() *proto.Message { return &proto.Message{Receivers: []channel.ID{alice}, Body: []byte("{}")} }
	for _, batch := range [][]*proto.Message{{poison, good()}, {good(), poison}, {good(), poison, good()}, {poison}} {
		p := packets.press()
		sub := &subscription{codec: codec, channels: []channel.ID{alice}}
		out, rest := p.encode(sub, batch, packetBytes)
		if out.messages != len(batch)-1 || len(rest) != 0 {
			t.Errorf("%d messages of %d, and %d left", out.messages, len(batch), len(rest))
		}
		packets.release(out)
		p.putAway()
	}
	if len(recovered.where) != 4 || recovered.where[0] != "encode" {
		t.Errorf("recovered at %q", recovered.where)
	}
}
