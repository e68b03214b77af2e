package edge

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/handover"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/transport"
	"pushgate/internal/wire"
)

// inSuccession runs a test in a bubble with an edge whose connections rest, and another one that
// may be its successor.
func inSuccession(t *testing.T, change func(*settings), test func(t *testing.T, old, next *world)) {
	inWorldOf(t, newRestingPipe, change, func(t *testing.T, w *world) { test(t, w, w.secondEdge()) })
}

// to returns what hands sessions to the edge of w, as two processes would.
func (w *world) to() handover.Give {
	return func(r handover.Record, conn net.Conn) (bool, error) {
		pipe := conn.(*restingPipe)
		pipe.given = true
		if err := w.edge.Adopt(w.t.Context(), r, conn, func() error { return nil }); err != nil {
			pipe.given = false
			return false, nil
		}
		return true, nil
	}
}

func (w *world) handOver(give handover.Give) error {
	w.t.Helper()
	defer synctest.Wait()
	return w.edge.HandOver(w.t.Context(), give)
}

// listener reads everything from a connection. Next returns it.
type listener struct {
	*websocket.Conn
	frames chan string // but for heartbeats
	beats  chan time.Time
	ended  chan end
}

// end is when a connection ended, and the close code.
type end struct {
	at   time.Time
	code websocket.StatusCode
}

func (w *world) listen(conn *websocket.Conn) *listener {
	l := &listener{conn, make(chan string, 100), make(chan time.Time, 1000), make(chan end, 1)}
	go func() {
		for {
			switch frame, err := w.read(conn); {
			case err != nil:
				l.ended <- end{time.Now(), websocket.CloseStatus(err)}
				return
			case frame == "ping":
				l.beats <- time.Now()
			default:
				l.frames <- frame
			}
		}
	}()
	synctest.Wait()
	return l
}

// expect checks that exactly this has come.
func (l *listener) expect(t *testing.T, parts ...string) {
	t.Helper()
	synctest.Wait()
	for _, part := range parts {
		select {
		case got := <-l.frames:
			if !strings.Contains(got, part) {
				t.Errorf("got %q, want %q", got, part)
			}
		default:
			t.Errorf("nothing came, want %q", part)
		}
	}
	if len(l.frames) > 0 {
		t.Errorf("got %q besides", <-l.frames)
	}
}

const watchStatus = `{"jsonrpc":"2.0","method":"subscribeStatusChange","params":{"userId":%d},"id":1}`

// TestHandOver: clients of every dialect do not notice that another edge has their connections. Nor
// do clients that watch their online status.
func TestHandOver(t *testing.T) {
	inSuccession(t, nil, func(t *testing.T, old, next *world) {
		user := channel.ForUser(5)
		watcher := next.listen(next.dial(rpcURL("/subws/", token(1))))
		next.tell(watcher.Conn, fmt.Sprintf(watchStatus, 5))
		text := old.listen(old.dial(old.url("/subws/", signed(alice))))
		json := old.listen(old.dial(old.url("/subws/", signed(alice, bob), "format", "json")))
		binary := old.listen(old.dial(old.url("/subws/", signed(alice), "binaryMode", "true")))
		five := old.listen(old.dial(rpcURL("/subws/", token(5, alice))))
		old.tell(five.Conn, fmt.Sprintf(watchStatus, 6))
		time.Sleep(time.Second)
		watcher.expect(t, `"result"`, `"params":{"user_id":5,"online":true}`)
		five.expect(t, `"result"`)
		n := 0
		expect := func(whole *proto.Message) {
			t.Helper()
			text.expect(t, string(wire.TextFrame(whole, 0).Payload()))
			json.expect(t, string(wire.JSONFrame(whole, 0).Payload()))
			binary.expect(t, string(wire.BinaryFrame(whole).Payload()))
			five.expect(t, string(wire.RPCFrame(whole, 5).Payload()))
		}
		publish := func(ttl time.Duration, receivers ...channel.ID) {
			t.Helper()
			n++
			whole := old.append(&proto.Message{Receivers: receivers, TTL: ttl, Body: fmt.Appendf(nil, `{"n":%d}`, n)})
			expect(whole)
		}
		publish(time.Hour, alice, user)
		publish(0, alice) // transient: it must not come again
		var meanwhile *proto.Message
		give := next.to()
		if err := old.handOver(func(r handover.Record, conn net.Conn) (bool, error) {
			if meanwhile == nil { // no edge has this session now; the old edge has the others
				meanwhile = old.publish(`{"meanwhile":1}`, alice, user)
			}
			return give(r, conn)
		}); err != nil {
			t.Fatal(err)
		}
		expect(meanwhile)
		if n, m := old.value("connections", "websocket"), next.value("connections", "websocket"); n != 0 || m != 5 {
			t.Errorf("%v and %v connections", n, m)
		}
		if n := old.value("session_ends_total", "handed_over"); n != 4 {
			t.Errorf("%v were handed over", n)
		}
		old.stop() // as its process does
		if n := len(five.beats); n != 1 {
			t.Errorf("%d heartbeats, and one is due at once", n)
		}
		publish(time.Hour, alice, user)
		six := next.dial(rpcURL("/subws/", token(6)))
		time.Sleep(time.Second)
		six.CloseNow()
		five.expect(t, `"params":{"user_id":6,"online":true}`)
		time.Sleep(time.Hour / 2)
		five.expect(t, `"params":{"user_id":6,"online":false}`)
		publish(time.Hour, alice, user)
		watcher.expect(t)
		last := <-five.beats
		for len(five.beats) > 0 {
			beat := <-five.beats
			if silent := beat.Sub(last); silent > 2*heartbeat-maxInterval {
				t.Errorf("no heartbeat for %v", silent)
			}
			last = beat
		}
		five.CloseNow()
		time.Sleep(presenceGrace + time.Second)
		watcher.expect(t, `"params":{"user_id":5,"online":false}`)
	})
}

// TestHandOverKeepsBounds: the limits of a connection still hold after a hand-over.
func TestHandOverKeepsBounds(t *testing.T) {
	inSuccession(t, func(s *settings) { s.Limits.Connections = 1 }, func(t *testing.T, old, next *world) {
		began := time.Now()
		stays, crowded := old.listen(old.dial(rpcURL("/subws/", token(5, alice)))), old.listen(old.dial(rpcURL("/subws/", token(6, alice))))
		time.Sleep(10 * time.Minute)
		if err := old.handOver(next.to()); err != nil {
			t.Fatal(err)
		}
		next.listen(next.dial(rpcURL("/subws/", token(6, alice))))
		for want, l := range map[end]*listener{{began.Add(10 * time.Minute), transport.ReasonTooMany.Code}: crowded, {began.Add(time.Hour), transport.ReasonTokenExpired.Code}: stays} {
			if got := <-l.ended; got.code != want.code || got.at.Before(want.at) || got.at.Sub(want.at) > 2*maxInterval {
				t.Errorf("%v, want %v", got, want)
			}
		}
	})
}

// TestHandOverFails: a connection that is not taken is still served, and asked to leave like
// others.
func TestHandOverFails(t *testing.T) {
	for name, died := range map[string]error{"refused": nil, "successor dies": errors.New("dead")} {
		t.Run(name, func(t *testing.T) {
			inSuccession(t, nil, func(t *testing.T, old, next *world) {
				var all []*listener
				for range 5 {
					all = append(all, old.listen(old.dial(rpcURL("/subws/", token(5, alice)))))
				}
				old.tell(all[0].Conn, fmt.Sprintf(watchStatus, 6))
				all[0].expect(t, "result")
				var bodies []string
				give := func(handover.Record, net.Conn) (bool, error) {
					bodies = append(bodies, fmt.Sprintf(`"text":%d}`, len(bodies)))
					old.publish(fmt.Sprint(len(bodies)-1), alice) // while no edge has the session
					return false, died
				}
				if err := old.handOver(give); err != died {
					t.Errorf("%v", err)
				}
				if died == nil && len(bodies) != 5 || died != nil && len(bodies) != 1 {
					t.Errorf("tried %d times", len(bodies))
				}
				synctest.Wait()
				for _, l := range all {
					got := ""
					for len(l.frames) > 0 { // one may hold several messages
						got += <-l.frames
					}
					for _, body := range bodies {
						if strings.Count(got, body) != 1 {
							t.Errorf("%q, want once each of %q", got, bodies)
							break
						}
					}
				}
				all = append(all, old.listen(old.dial(rpcURL("/subws/", token(6)))))
				time.Sleep(time.Second)
				all[0].expect(t, "userStatusChange")
				if n := old.value("connections", "websocket"); n != 6 {
					t.Errorf("%v connections", n)
				}
				if died != nil { // another one may do better
					if err := old.handOver(next.to()); err != nil || next.value("connections", "websocket") != 6 {
						t.Errorf("%v; %v connections", err, next.value("connections", "websocket"))
					}
					return
				}
				old.edge.Drain(t.Context())
				for _, l := range all {
					if got := <-l.ended; got.code != transport.ReasonLeaving.Code {
						t.Errorf("closed with %d", got.code)
					}
				}
			})
		})
	}
}

// TestHandOverWaitsForRest: a connection that is being read or written is handed over only when it
// rests, even if that is late.
func TestHandOverWaitsForRest(t *testing.T) {
	inSuccession(t, nil, func(t *testing.T, old, next *world) {
		resting := old.dial(old.url("/subws/", signed(bob)))
		stuck, _ := old.rawWebSocket(old.url("/subws/", signed(alice)))
		half, reader := old.rawWebSocket(old.url("/subws/", signed(bob)))
		// A pipe has no buffer: its writer waits.
		old.publish("to a client that does not read", alice)
		half.Write([]byte{0x81, 0x83, 0, 0}) // half a frame
		synctest.Wait()
		began := time.Now()
		if err := old.handOver(next.to()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*restPatience {
			t.Errorf("took %v", took)
		}
		if n := next.value("connections", "websocket"); n != 1 {
			t.Errorf("%v taken", n)
		}
		stuck.Close()
		late := old.dial(old.url("/subws/", signed(bob)))
		half.Write([]byte{0, 0, 'a', 'b', 'c'})
		drained := make(chan struct{})
		go func() { old.edge.Drain(t.Context()); close(drained) }()
		time.Sleep(12 * time.Second)
		if n := next.value("connections", "websocket"); n != 3 {
			t.Errorf("%v taken", n)
		}
		m := old.publish("to bob", bob)
		for _, conn := range []*websocket.Conn{resting, late} {
			if got, err := next.read(conn); got != text(m, bob) {
				t.Errorf("%q %v", got, err)
			}
		}
		buf := make([]byte, 512)
		if n, err := reader.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "to bob") {
			t.Errorf("%q %v", buf[:n], err)
		}
		<-drained
	})
}

// TestNothingRests: connections that always have a goroutine are asked to leave.
func TestNothingRests(t *testing.T) {
	inWorldOf(t, net.Pipe, nil, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", signed(alice)))
		give := func(handover.Record, net.Conn) (bool, error) { t.Error("given"); return true, nil }
		if err := w.handOver(give); err != nil {
			t.Error(err)
		}
		go w.edge.Drain(t.Context())
		if _, err := w.read(conn); websocket.CloseStatus(err) != transport.ReasonLeaving.Code {
			t.Error(err)
		}
	})
}

// TestAdoptRefuses: a session that this edge cannot serve is not touched, and the predecessor gets
// an error.
func TestAdoptRefuses(t *testing.T) {
	other := &portal.Portal{ClientID: strings.Repeat("b", 32), Signer: signer}
	inWorldOf(t, newRestingPipe, func(s *settings) {
		s.Signer, s.Others, s.MaxConnections = nil, []*portal.Portal{other}, 1
	}, func(t *testing.T, w *world) {
		here := handover.Record{Portal: other.ClientID, Dialect: "text", Channels: []channel.ID{alice}}
		elsewhere, unknown := here, here
		elsewhere.Portal, unknown.Dialect = strings.Repeat("c", 32), "morse"
		never := func() error { t.Error("confirmed"); return nil }
		for record, want := range map[*handover.Record]error{&elsewhere: errPortal, &unknown: errCodec} {
			if err := w.edge.Adopt(t.Context(), *record, nil, never); err != want {
				t.Errorf("%v, want %v", err, want)
			}
		}
		broken := errors.New("not confirmed")
		if err := w.edge.Adopt(t.Context(), here, nil, func() error { return broken }); err != broken {
			t.Error(err)
		}
		w.edge.ceiling.open = func() int64 { return 2 }
		if err := w.edge.Adopt(t.Context(), here, nil, never); err != errFull {
			t.Error(err)
		}
	})
}
