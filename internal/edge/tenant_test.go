package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

const (
	clientA = "fcda45d0859442735f07b8bb5825ded1"
	clientB = "0123456789abcdef0123456789abcdef"
)

var limits = portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Connections: 100}

// manyWorld is a world of two portals with client ids, each with its own log.
type manyWorld struct {
	*world
	a, b *storetest.Memory
}

func inMany(t *testing.T, change func(*settings), test func(*testing.T, *manyWorld)) {
	var s manyWorld
	inWorld(t, func(c *settings) {
		s.a, s.b = storetest.NewMemory(store.Config{}), storetest.NewMemory(store.Config{})
		c.Portal = portal.Portal{}
		c.Logs = map[string]Log{clientA: s.a, clientB: s.b}
		c.Others = []*portal.Portal{
			{ClientID: clientA, Signer: testkit.Signer("a"), Limits: limits, HostID: "host-a"},
			{ClientID: clientB, Signer: testkit.Signer("b"), Limits: limits, HostID: "host-b"},
		}
		if change != nil {
			change(c)
		}
	}, func(t *testing.T, w *world) {
		s.world = w
		test(t, &s)
	})
}

// url asks for alice's channel as a client of a portal does.
func (s *manyWorld) url(path, client, key string) string {
	return s.world.url(path, testkit.Signer(key).Sign(channel.Ref{Private: alice}).String(), "clientId", client)
}

// next returns the frame that comes on a socket within a minute.
func (s *manyWorld) next(socket *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	_, frame, err := socket.Read(ctx)
	return string(frame), err
}

func (s *manyWorld) append(log *storetest.Memory, body string) {
	s.t.Helper()
	if _, err := log.Append(s.t.Context(), &proto.Message{Receivers: []channel.ID{alice}, Body: []byte(body), TTL: time.Hour, Created: time.Now()}); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

func (s *manyWorld) online(log *storetest.Memory) int {
	s.t.Helper()
	n, err := log.Online(s.t.Context(), []channel.ID{alice})
	if err != nil {
		s.t.Fatal(err)
	}
	return n[0]
}

// TestPortalsDoNotHearEachOther: the same channel of two portals is two channels.
func TestPortalsDoNotHearEachOther(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		socketA, socketB := s.dial(s.url("/subws/", clientA, "a")), s.dial(s.url("/subws/", clientB, "b"))
		pollA, pollB := s.get(s.url("/sub/", clientA, "a")), s.get(s.url("/sub/", clientB, "b"))
		s.append(s.a, `"for a"`)
		s.append(s.b, `"for b"`)
		for _, c := range []struct {
			socket    *websocket.Conn
			poll      <-chan answer
			want, not string
		}{{socketA, pollA, `"for a"`, `"for b"`}, {socketB, pollB, `"for b"`, `"for a"`}} {
			frame, err := s.next(c.socket)
			if err != nil || !strings.Contains(frame, c.want) || strings.Contains(frame, c.not) {
				t.Errorf("%v %s, want %s alone", err, frame, c.want)
			}
			if got := <-c.poll; !strings.Contains(got.body, c.want) || strings.Contains(got.body, c.not) {
				t.Errorf("%+v, want %s alone", got, c.want)
			}
		}
		socketB.CloseNow()
		time.Sleep(presenceGrace + time.Second)
		if a, b := s.online(s.a), s.online(s.b); a != 1 || b != 0 {
			t.Errorf("%d online at a and %d at b", a, b)
		}
	})
}

// TestWrongClient: a client whose portal is not served is refused before the upgrade, as by the
// original. The key of another portal allows nothing.
func TestWrongClient(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		for _, client := range []string{"", strings.Repeat("0", 32), "x"} {
			for _, path := range []string{"/sub/", "/sse/"} {
				if got := <-s.get(s.url(path, client, "a")); got.status != 400 || got.body != "4036: Wrong Client Id." {
					t.Errorf("%s of %q: %+v", path, client, got)
				}
			}
			conn, err := s.listener.dial(t.Context(), "tcp", "push.test:80")
			if err != nil {
				t.Fatal(err)
			}
			r, _ := http.NewRequest("GET", s.url("/subws/", client, "a"), nil)
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
			go r.Write(conn)
			raw, err := io.ReadAll(bufio.NewReader(conn))
			if err != nil || string(raw) != "HTTP/1.1 400 Bad Request\r\n\r\n4036: Wrong Client Id." {
				t.Errorf("upgrade of %q: %v %q", client, err, raw)
			}
			conn.Close()
		}
		if got := <-s.get(s.url("/sub/", clientA, "b")); got.status != 400 || got.body != "4010: Wrong Channel Id." {
			t.Errorf("b's signature at a: %+v", got)
		}
		if n := s.value("portals_followed", ""); n != 0 {
			t.Errorf("%v portals without a connection are followed", n)
		}
	})
}

// TestFollowsWhomItServes: an edge follows a portal while it has a connection here, and some time
// longer.
func TestFollowsWhomItServes(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		if err := s.edge.Ready(); err != nil {
			t.Errorf("not ready without a portal: %v", err)
		}
		socket := s.dial(s.url("/subws/", clientA, "a"))
		if n := s.value("portals_followed", ""); n != 1 {
			t.Fatalf("%v portals are followed", n)
		}
		socket.CloseNow()
		time.Sleep(tenantRest - time.Second)
		again := s.get(s.url("/sub/", clientA, "a"))
		time.Sleep(2 * time.Second)
		s.append(s.a, `1`)
		if got := <-again; got.status != 200 {
			t.Errorf("%+v", got)
		}
		time.Sleep(tenantRest + time.Second)
		if n := s.value("portals_followed", ""); n != 0 {
			t.Errorf("%v portals are followed after the last one has gone", n)
		}
		// A tenant that ends does not remove what the next one has written.
		s.append(s.a, `2`)
		fresh := s.dial(s.url("/subws/", clientA, "a"))
		time.Sleep(2 * time.Second)
		if s.online(s.a) != 1 {
			t.Error("a new session is not online")
		}
		s.append(s.a, `3`)
		if frame, err := s.next(fresh); err != nil || !strings.Contains(frame, `"text":3`) {
			t.Errorf("%v %s: a session without a cursor begins with what comes", err, frame)
		}
	})
}

// late is a log whose first subscription takes a while.
type late struct {
	*storetest.Memory
	delay time.Duration
}

func (l late) Follow(ctx context.Context, f proto.Follower) error {
	select {
	case <-time.After(l.delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	return l.Memory.Follow(ctx, f)
}

// TestFirstOfItsPortal: a connected client gets what is published, even if the edge had not
// followed that portal before.
func TestFirstOfItsPortal(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		inMany(t, func(c *settings) { c.Logs[clientA] = late{c.Logs[clientA].(*storetest.Memory), delay} }, func(t *testing.T, s *manyWorld) {
			start := time.Now()
			socket := s.dial(s.url("/subws/", clientA, "a"))
			if time.Since(start) != delay {
				t.Errorf("the handshake took %v, want %v", time.Since(start), delay)
			}
			s.append(s.a, `1`)
			if frame, err := s.next(socket); err != nil || !strings.Contains(frame, `"text":1`) {
				t.Errorf("%v %s", err, frame)
			}
		})
	}
	// Subscribers are accepted also while Redis is away.
	inMany(t, func(c *settings) { c.Logs[clientA] = late{c.Logs[clientA].(*storetest.Memory), time.Hour} }, func(t *testing.T, s *manyWorld) {
		start := time.Now()
		s.dial(s.url("/subws/", clientA, "a"))
		if time.Since(start) != syncPatience {
			t.Errorf("the handshake took %v", time.Since(start))
		}
	})
}

// TestReadyWithoutPortals: an edge that follows no portal knows from its statistics whether Redis
// works.
func TestReadyWithoutPortals(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		broken := errors.New("away")
		s.log.Fail(broken)
		time.Sleep(20 * time.Second)
		if err := s.edge.Ready(); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		s.log.Fail(nil)
		time.Sleep(20 * time.Second)
		if err := s.edge.Ready(); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// TestServeAnew: after a reload a new key is valid and an old one is not. Clients of a portal that
// stays do not notice. Clients of a removed portal are asked to reconnect, which sends none of them
// to PHP.
func TestServeAnew(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		stays, goes, stream := s.dial(s.url("/subws/", clientA, "a")), s.dial(s.url("/subws/", clientB, "b")), s.get(s.url("/sse/", clientB, "b"))
		next := settings{Others: []*portal.Portal{{ClientID: clientA, Signer: testkit.Signer("new"), Limits: limits}}}
		next.Others = append(next.Others, &portal.Portal{ClientID: strings.Repeat("7", 32), Signer: testkit.Signer("c"), Limits: limits})
		s.edge.SetPortals(next.table())
		start := time.Now()
		_, err := s.next(goes)
		if code := websocket.CloseStatus(err); code != 3000 || time.Since(start) > 2*maxInterval {
			t.Errorf("of a portal that is gone: %v after %v", err, time.Since(start))
		}
		if got := <-stream; got.err != nil {
			t.Errorf("%+v", got)
		}
		for _, c := range []struct {
			client, key string
			status      int
		}{{clientA, "a", 400}, {clientB, "b", 400}} {
			if got := <-s.get(s.url("/sub/", c.client, c.key)); got.status != c.status {
				t.Errorf("%+v: %+v", c, got)
			}
		}
		fresh := s.dial(s.url("/subws/", clientA, "new"))
		s.append(s.a, `1`)
		for _, socket := range []*websocket.Conn{stays, fresh} {
			if frame, err := s.next(socket); err != nil || !strings.Contains(frame, `"text":1`) {
				t.Errorf("%v %s", err, frame)
			}
		}
		// The portal is added again.
		s.edge.SetPortals(s.settings.table())
		back := s.dial(s.url("/subws/", clientB, "b"))
		s.append(s.b, `2`)
		if frame, err := s.next(back); err != nil || !strings.Contains(frame, `"text":2`) {
			t.Errorf("%v %s", err, frame)
		}
	})
}

// TestPersonalPortalThatIsRemoved: the personal portal is followed as long as it is served. After
// that it does not affect readiness.
func TestPersonalPortalThatIsRemoved(t *testing.T) {
	personal := storetest.NewMemory(store.Config{})
	inMany(t, func(c *settings) {
		personal = storetest.NewMemory(store.Config{})
		c.Portal = portal.Portal{Signer: signer, Limits: limits}
		c.Logs[portal.Default] = personal
	}, func(t *testing.T, s *manyWorld) {
		both := s.settings.table()
		next := s.settings
		next.Portal = portal.Portal{}
		s.edge.SetPortals(next.table())
		time.Sleep(tenantRest / 2)
		s.edge.SetPortals(both) // it has changed its mind
		time.Sleep(2 * tenantRest)
		if n := s.value("portals_followed", ""); n != 1 {
			t.Errorf("%v portals are followed of 1", n)
		}
		personal.SetDown(true)
		synctest.Wait()
		if s.edge.Ready() == nil {
			t.Error("ready without the log of the personal portal")
		}
		s.edge.SetPortals(next.table())
		time.Sleep(tenantRest + time.Second)
		if err := s.edge.Ready(); err != nil {
			t.Errorf("not ready because of a portal that is not served: %v", err)
		}
		if n := s.value("portals_followed", ""); n != 0 {
			t.Errorf("%v portals are followed that are not served", n)
		}
	})
}

// TestPersonalAmongMany: the personal portal is followed from the start.
func TestPersonalAmongMany(t *testing.T) {
	inMany(t, func(c *settings) { c.Portal = portal.Portal{Signer: signer, Limits: limits} }, func(t *testing.T, s *manyWorld) {
		if n := s.value("portals_followed", ""); n != 1 {
			t.Errorf("%v portals are followed", n)
		}
		socket := s.dial(s.world.url("/subws/", signed(alice)))
		s.publish(`1`, alice)
		if frame, err := s.next(socket); err != nil || !strings.Contains(frame, `"text":1`) {
			t.Errorf("%v %s", err, frame)
		}
	})
}
