package edge

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/rpc"
)

// commandsFunc is an executor that is a function.
type commandsFunc func(ctx context.Context, batch []byte) ([]byte, error)

func (f commandsFunc) Client(ctx context.Context, _ channel.ID, batch []byte) ([]byte, error) {
	return f(ctx, batch)
}

// Call calls the function with the call's method, and returns its error.
func (f commandsFunc) Call(ctx context.Context, _ command.Caller, call rpc.Call) (rpc.Reply, error) {
	_, err := f(ctx, []byte(call.Method))
	return rpc.Reply{}, err
}

// A fault of ours sends no client to the portal.
func TestCommandThatFailsClosesMildly(t *testing.T) {
	broken := commandsFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("redis is away") })
	inWorld(t, func(c *settings) { c.Commands = broken }, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		w.say(conn, []byte("x"))
		if code, _ := w.closed(conn); code != websocket.StatusTryAgainLater {
			t.Errorf("closed with %d", code)
		}
		synctest.Wait()
		if w.value("client_commands_total", "failed") != 1 || w.value("session_ends_total", "command_failed") != 1 {
			t.Error("not counted")
		}
	})
}

// A channel that accepts no more messages does not end the connection.
func TestClosedChannelIsNoCloseCode(t *testing.T) {
	refuse := commandsFunc(func(context.Context, []byte) ([]byte, error) { return nil, proto.ErrChannelsClosed })
	inWorld(t, func(c *settings) { c.Commands = refuse }, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		w.say(conn, []byte("x"))
		m := w.publish(`{}`, alice)
		if got, err := w.read(conn); err != nil || got != binary(m) {
			t.Errorf("%x, %v", got, err)
		}
	})
}

// One command at a time: nothing more is read while it is carried out, but messages are still
// delivered.
func TestCommandsOfAConnectionComeOneByOne(t *testing.T) {
	var got []string
	next := make(chan struct{})
	slow := commandsFunc(func(ctx context.Context, batch []byte) ([]byte, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a command has no time limit")
		}
		got = append(got, string(batch))
		<-next
		return nil, nil
	})
	inWorld(t, func(c *settings) { c.Commands = slow }, func(t *testing.T, w *world) {
		got, next = nil, make(chan struct{}) // of the bubble
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		go func() {
			for _, frame := range []string{"1", "2", "3"} {
				conn.Write(context.Background(), websocket.MessageBinary, []byte(frame))
			}
		}()
		synctest.Wait()
		if !slices.Equal(got, []string{"1"}) {
			t.Errorf("%q while the first is carried out", got)
		}
		m := w.publish(`{}`, alice)
		if frame, err := w.read(conn); err != nil || frame != binary(m) {
			t.Errorf("%x, %v", frame, err)
		}
		for range 3 {
			next <- struct{}{}
			synctest.Wait()
		}
		if !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("%q", got)
		}
	})
}

// A client that does not read replies is not read from, and ends like any stuck reader.
func TestUnreadReply(t *testing.T) {
	calls := 0
	echo := commandsFunc(func(_ context.Context, batch []byte) ([]byte, error) {
		calls++
		return batch, nil
	})
	inWorld(t, func(c *settings) { c.Commands = echo }, func(t *testing.T, w *world) {
		calls = 0
		conn, _ := w.rawWebSocket(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		frame := []byte{0x82, 0x81, 0, 0, 0, 0, 'x'}
		go func() {
			for {
				if _, err := conn.Write(frame); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d commands of a client that reads no reply", calls)
		}
		time.Sleep(writeTimeout + maxInterval + time.Second)
		synctest.Wait()
		if n := w.value("session_ends_total", "write_timeout"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
	})
}

// What a client sent before it went is carried out.
func TestCommandOutlivesItsConnection(t *testing.T) {
	begun, finished := false, false
	slow := commandsFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
		begun = true
		select {
		case <-time.After(time.Second):
			finished = true
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	})
	inWorld(t, func(c *settings) { c.Commands = slow }, func(t *testing.T, w *world) {
		conn := w.dial(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		w.say(conn, []byte("x"))
		w.edge.shared.Heartbeats.Close()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !begun || !finished {
			t.Errorf("begun %t, finished %t", begun, finished)
		}
	})
}

// TestNoCommandsOfWhoIsPutOut: a client that takes no notice of the close frame posts nothing while
// the edge waits for its own. It could post for five seconds.
func TestNoCommandsOfWhoIsPutOut(t *testing.T) {
	calls := 0
	count := commandsFunc(func(context.Context, []byte) ([]byte, error) {
		calls++
		return nil, nil
	})
	inWorld(t, func(c *settings) { c.Commands = count }, func(t *testing.T, w *world) {
		calls = 0
		conn, _ := w.rawWebSocket(w.url("/subws/", pair(alice, alicePublic), "binaryMode", "true"))
		go io.Copy(io.Discard, conn)
		frame := []byte{0x82, 0x81, 0, 0, 0, 0, 'x'}
		post := func() {
			_, _ = conn.Write(frame) // the edge may have closed
			synctest.Wait()
		}
		if post(); calls != 1 {
			t.Fatalf("%d commands, want 1", calls)
		}
		w.revoke(revoke.Channel(alice))
		synctest.Wait()
		for range 30 {
			post()
			time.Sleep(200 * time.Millisecond)
		}
		if calls != 1 {
			t.Errorf("%d commands of a client that is put out", calls-1)
		}
		if n := w.value("session_ends_total", "revoked"); n != 1 {
			t.Errorf("%v connections have ended", n)
		}
	})
}
