package edge

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/handover"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/sign"
	"pushgate/internal/transport"
)

const start = "00000000000000000000000000" // as a cursor, before all messages

func (w *world) revoke(entry revoke.Entry) {
	w.t.Helper()
	if err := w.log.Revoke(w.t.Context(), entry, time.Now().Add(time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

// putOut checks that a connection has been closed with 4010, and has got nothing.
func (l *listener) putOut(t *testing.T, what string) {
	t.Helper()
	l.expect(t)
	select {
	case e := <-l.ended:
		if e.code != 4010 {
			t.Errorf("%s: code %d, want 4010", what, e.code)
		}
	default:
		t.Errorf("%s: not closed", what)
	}
}

// TestPutOutWhileNotSubscribed: an edge that can read the log, but is not notified, delivers
// nothing of what was published after a revocation: not to those that come, and not when it is
// notified again.
func TestPutOutWhileNotSubscribed(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		early := w.listen(w.dial(w.url("/subws/", signed(alice))))
		w.log.SetDown(true)
		w.revoke(revoke.Channel(alice))
		w.publish(`{"n":1}`, alice, bob)
		late := w.listen(w.dial(w.url("/subws/", signed(alice), "mid", start)))
		poll := w.get(w.url("/sub/", signed(alice), "mid", start))
		other := w.listen(w.dial(w.url("/subws/", signed(bob), "mid", start)))
		late.putOut(t, "who comes while the edge is not notified")
		early.putOut(t, "who was there, once the log has been read")
		if got := <-poll; got.status != proto.ErrWrongChannel.Status() {
			t.Errorf("the poll: %+v", got)
		}
		other.expect(t, `"n":1`)
		w.log.SetDown(false)
		synctest.Wait()
		other.expect(t)
	})
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.listen(w.dial(w.url("/subws/", signed(alice))))
		w.log.SetDown(true)
		w.revoke(revoke.Channel(alice))
		w.publish(`{"n":1}`, alice)
		conn.expect(t)
		w.log.SetDown(false)
		conn.putOut(t, "who was there")
	})
}

// TestNothingBeforeTheRevocationsAreRead: an edge that is notified again, but cannot read what is
// put out, delivers nothing until it can.
func TestNothingBeforeTheRevocationsAreRead(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		out, stays := w.listen(w.dial(w.url("/subws/", signed(alice)))), w.listen(w.dial(w.url("/subws/", signed(bob))))
		w.log.SetDown(true)
		w.revoke(revoke.Channel(alice))
		w.publish(`{"n":1}`, alice, bob)
		w.log.FailRevocations(errors.New("this one call fails"))
		w.log.SetDown(false)
		w.publish(`{"n":2}`, alice, bob)
		time.Sleep(10 * time.Second)
		out.expect(t)
		stays.expect(t)
		w.log.FailRevocations(nil)
		time.Sleep(2 * revokedMaxRetry)
		out.putOut(t, "who is put out")
		stays.expect(t, `"n":2`) // in one frame with the other
	})
}

// TestPutOutWithoutNotification: what is put out applies within half a minute even if nothing says
// so.
func TestPutOutWithoutNotification(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn := w.listen(w.dial(w.url("/subws/", signed(alice))))
		w.log.SetRevoked(revoke.List{revoke.Channel(alice): time.Now().Add(time.Hour).Unix()})
		time.Sleep(revokedInterval)
		conn.putOut(t, "without a notification")
	})
}

// TestNotesDuringARead: notes that come while the list is read are not lost with the list before,
// whatever order the answers come in.
func TestNotesDuringARead(t *testing.T) {
	one, two := revoke.User(1), revoke.User(2)
	has := func(v *revocations, user int64) bool { return v.has(revoke.Client{User: user}) }
	until := time.Now().Add(time.Hour).Unix()
	note := func(v *revocations, sequence uint64, n revoke.Note) {
		v.note(&proto.Message{ID: proto.ID{Epoch: 1, Sequence: sequence}, Body: n.Body()})
	}
	v := newRevocations()
	note(v, 1, revoke.Note{Entry: one, Until: until})
	v.begin()
	note(v, 3, revoke.Note{Entry: two, Until: until})
	v.finish(revoke.List{one: until}, proto.ID{Epoch: 1, Sequence: 2})
	if !has(v, 1) || !has(v, 2) {
		t.Error("a note was lost with the list before")
	}
	if got := v.begin(); got.Sequence != 3 {
		t.Errorf("version %v, want that of the note", got)
	}
	v.finish(nil, proto.ID{Epoch: 1, Sequence: 3})
	if !has(v, 1) || !has(v, 2) {
		t.Error("the list was lost although it had not changed")
	}
	note(v, 4, revoke.Note{Entry: one})
	if has(v, 1) {
		t.Error("a note that lifts does nothing")
	}
	v.note(&proto.Message{ID: proto.ID{Epoch: 1, Sequence: 5}, Body: []byte("{}")})
	if got := v.begin(); !got.IsZero() {
		t.Errorf("version %v after a damaged note: the list is not read again", got)
	}
}

// TestHandOverKeepsTheToken: a connection that was handed over is put out by its token.
func TestHandOverKeepsTheToken(t *testing.T) {
	inSuccession(t, nil, func(t *testing.T, old, next *world) {
		dial := func(id string) *listener {
			text := signer.SignToken(sign.Token{User: 5, ID: id, Expires: time.Now().Add(time.Hour)}, "", time.Now())
			return old.listen(old.dial("http://push.test/subws/?" + url.Values{"jsonRpc": {"true"}, "token": {text}}.Encode()))
		}
		out, stays := dial("a tab"), dial("another tab")
		handed := 0
		give := next.to()
		if err := old.handOver(func(r handover.Record, conn net.Conn) (bool, error) {
			handed++
			return give(r, conn)
		}); err != nil || handed != 2 {
			t.Fatalf("%d handed over: %v", handed, err)
		}
		next.revoke(revoke.Token(revoke.TokenID("a tab")))
		out.putOut(t, "the token")
		stays.expect(t)
		if len(stays.ended) > 0 {
			t.Error("another token of the user is put out")
		}
	})
}

// TestRevokeEndsAtOnce: nothing can be delivered once Revoke has returned, although the close frame
// is sent later.
func TestRevokeEndsAtOnce(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 20 {
			w.dial(w.url("/subws/", signed(alice)))
		}
		for _, m := range w.edge.shared.Heartbeats.Members() {
			ws := m.(*transport.WebSocket)
			if ws.Revoke(); ws.Wait(0) {
				t.Fatal("a connection that was put out has no reason to end")
			}
		}
	})
}

// TestNothingAfterTheNotification: what follows a revocation in the log at once is not delivered
// against it, however many connections there are to look through. It was delivered to all.
func TestNothingAfterTheNotification(t *testing.T) {
	inWorld(t, func(s *settings) { s.Limits.Connections = 1000 }, func(t *testing.T, w *world) {
		var out []*listener
		for range 200 {
			out = append(out, w.listen(w.dial(w.url("/subws/", signed(alice)))))
		}
		poll := w.get(w.url("/sub/", signed(alice)))
		answer, events := w.events(w.url("/sse/", signed(alice)), "")
		defer answer.Body.Close()
		stays := w.listen(w.dial(w.url("/subws/", signed(bob))))
		w.revoke(revoke.Channel(alice))
		m := &proto.Message{Receivers: []channel.ID{alice, bob}, Body: []byte(`{"n":1}`), TTL: time.Hour, Created: time.Now()}
		if _, err := w.log.Append(t.Context(), m); err != nil { // without a wait between the two
			t.Fatal(err)
		}
		for _, l := range out {
			l.putOut(t, "a WebSocket")
		}
		if got := <-poll; got.status != proto.ErrWrongChannel.Status() {
			t.Errorf("the poll: %+v", got)
		}
		if text, err := io.ReadAll(events); err != nil || strings.Contains(string(text), `"n":1`) {
			t.Errorf("the stream: %q, %v", text, err)
		}
		stays.expect(t, `"n":1`)
		if got := w.value("revoked_clients_total", ""); got != 202 {
			t.Errorf("%v are counted, want 202", got)
		}
	})
}

// TestRevocationsOneAfterTheOther: a portal that puts out one after the other has the connections
// of all portals looked through a few times a second only. Who is put out gets nothing meanwhile.
func TestRevocationsOneAfterTheOther(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		one, two := w.listen(w.dial(w.url("/subws/", signed(alice)))), w.listen(w.dial(w.url("/subws/", signed(bob))))
		w.revoke(revoke.Channel(alice))
		one.putOut(t, "the first one")
		looks, began := 0, time.Now()
		revoked := w.edge.tenants[portal.Default].revoked
		for before := revoked.applied.Load(); time.Since(began) < time.Second; time.Sleep(time.Millisecond) {
			w.revoke(revoke.User(int64(looks) + 17))
			if synctest.Wait(); revoked.applied.Load() != before {
				before = revoked.applied.Load()
				looks++
			}
		}
		if looks > 5 {
			t.Errorf("%d looks in a second", looks)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		w.revoke(revoke.User(1))
		w.revoke(revoke.Channel(bob))
		w.publish(`{"n":1}`, bob)
		two.putOut(t, "who is delivered to meanwhile")
		time.Sleep(revokedRest)
		if synctest.Wait(); revoked.pending() {
			t.Error("the connections are not looked through")
		}
	})
}
