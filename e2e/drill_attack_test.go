package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
)

// How many hostile clients of each kind the row has.
const (
	attackResets = 4000
	attackOdd    = 2000 // with requests sent ahead and in part, and as many that close their half
	attackHeads  = 1000
	attackHalves = 1000
	attackDeaf   = 60
)

// attack has the hostile clients. The edges panic in the work for one connection in a hundred.
type attack struct {
	*drill
	before                                           []holding // of the edges
	panics                                           float64
	resets, ahead, halfCloses, heads, messages, deaf atomic.Int64
}

func hostile() row {
	a := &attack{}
	return row{name: "hostile clients, and panics in one connection of a hundred", tags: "faultinject",
		// Without a cache and with frequent garbage collection, the heap has only what is in use.
		env: []string{"FAULT_ONE_IN=100", "PUSHGATE_PING_INTERVAL=10s", "PUSHGATE_RECENT_BYTES=0",
			"GOGC=10"},
		prepare: a.prepare, act: a.run, after: a.after}
}

// prepare measures the edges after a small attack, which fills their pools and caches.
func (a *attack) prepare(d *drill) (err error) {
	*a = attack{drill: d}
	for _, s := range d.crowd.subscribers {
		s.Panics = true
	}
	if err := a.all(20, 6*time.Second); err != nil {
		return err
	}
	a.before, err = a.atRest(nil)
	a.resets.Store(0)
	a.ahead.Store(0)
	a.halfCloses.Store(0)
	a.heads.Store(0)
	a.messages.Store(0)
	a.deaf.Store(0)
	if err == nil {
		a.panics, err = a.total("pushgate_panics_total{")
	}
	return err
}

// run attacks for longer than an edge waits for the end of a message.
func (a *attack) run(*drill) error { return a.all(1, 38*time.Second) }

// after checks that the edges hold no more than before the attack when all clients have left.
func (a *attack) after(*drill) error {
	panics, err := a.total("pushgate_panics_total{")
	if err != nil {
		return err
	}
	timeouts, err := a.sum(`pushgate_session_ends_total{reason="message_timeout"}`)
	if err != nil {
		return err
	}
	after, err := a.atRest(a.before)
	fmt.Fprintf(os.Stderr, "%d resets during upgrade, %d requests ahead and in part, %d half closes, %d halves of heads, %d of messages (%.0f ended by the edges), "+
		"%d that never read; %.0f panics\n", a.resets.Load(), a.ahead.Load(), a.halfCloses.Load(), a.heads.Load(), a.messages.Load(), timeouts, a.deaf.Load(), panics-a.panics)
	for i := range after {
		fmt.Fprintf(os.Stderr, "edge %d before: %v\nedge %d after:  %v\n", i, a.before[i], i, after[i])
	}
	if n := a.resets.Load(); n < attackResets*9/10 {
		err = errors.Join(err, fmt.Errorf("only %d resets", n))
	}
	if panics-a.panics < 10 {
		err = errors.Join(err, fmt.Errorf("only %v panics", panics-a.panics))
	}
	if timeouts < attackHalves/2 {
		err = errors.Join(err, fmt.Errorf("of %d halves of messages %v were ended", a.messages.Load(), timeouts))
	}
	return err
}

// all runs all kinds of hostile clients at the same time, for a time t. divisor reduces their
// numbers.
func (a *attack) all(divisor int, t time.Duration) error {
	ctx, cancel := context.WithTimeout(a.ctx, t)
	defer cancel()
	var work sync.WaitGroup
	// few runs n clients one after another, in several workers.
	few := func(n int, one func(context.Context, int)) {
		var next atomic.Int64
		for range 20 {
			work.Go(func() {
				for i := int(next.Add(1)); i <= n/divisor && ctx.Err() == nil; i = int(next.Add(1)) {
					one(ctx, i)
				}
			})
		}
	}
	few(attackResets, a.reset)
	few(attackOdd, a.sendAhead)
	few(attackOdd, a.halfClose)
	// many runs n clients at the same time, which stay.
	many := func(n int, one func(context.Context, int)) {
		for i := range n / divisor {
			work.Go(func() {
				select {
				case <-time.After(time.Duration(i) * 5 * time.Millisecond):
					one(ctx, i)
				case <-ctx.Done():
				}
			})
		}
	}
	many(attackHeads, a.halfHead)
	many(attackHalves, a.halfMessage)
	id := NewChannel()
	many(attackDeaf, func(ctx context.Context, i int) { a.neverRead(ctx, i, id) })
	var err error
	body := strings.Repeat("x", 64<<10)
	for range 150 {
		if _, err = a.Portals[0].Post(ctx, body, false, id); err != nil {
			break
		}
		_ = a.pause(25 * time.Millisecond)
	}
	if ctx.Err() == nil {
		<-ctx.Done()
	} else {
		err = nil // a warm-up is short
	}
	work.Wait()
	return err
}

// dial connects to an edge or to nginx.
func (a *attack) dial(i int) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", append([]string{a.Public}, a.Edges[0].Addr, a.Edges[1].Addr, a.Edges[2].Addr)[i%4])
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// request returns the head with which a client subscribes, by WebSocket, poll or stream.
func (a *attack) request(i int, mode string, ids ...channel.ID) string {
	portal := a.Portals[i%len(a.Portals)]
	if ids == nil {
		ids = []channel.ID{NewChannel()}
	} else {
		portal = a.Portals[0]
	}
	query := "/?CHANNEL_ID=" + portal.Signed(ids...) + "&clientId=" + portal.ClientID + mode + " HTTP/1.1\r\nHost: h\r\n"
	switch i / 4 % 3 {
	case 0:
		return "GET /bitrix/subws" + query + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	case 1:
		return "GET /bitrix/sub" + query + "\r\n"
	default:
		return "GET /bitrix/sse" + query + "\r\n"
	}
}

// reset resets a connection at one of the steps of an upgrade, a poll or a stream.
func (a *attack) reset(_ context.Context, i int) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetLinger(0) // Close resets
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	head := a.request(i, "")
	step := i / 12 % 8
	sent := head
	switch step {
	case 0: // nothing is sent
		sent = ""
	case 1:
		sent = head[:10]
	case 2:
		sent = head[:len(head)-2]
	}
	_, _ = io.WriteString(conn, sent)
	answer := make([]byte, 1024)
	switch step {
	case 4:
		_, _ = conn.Read(answer[:1])
	case 5:
		_, _ = conn.Read(answer)
	case 6: // half a frame
		_, _ = conn.Read(answer)
		_, _ = conn.Write([]byte{0x81, 0xfe})
	case 7:
		_ = conn.CloseWrite()
	}
	a.resets.Add(1)
}

// sendAhead sends several requests at once, and a part of one more.
func (a *attack) sendAhead(_ context.Context, i int) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	if i%2 == 0 {
		_ = conn.SetLinger(0)
	}
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	head := a.request(i, "")
	_, _ = io.WriteString(conn, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"+head+head+a.request(i+4, "")+head[:len(head)/2])
	_, _ = io.Copy(io.Discard, conn)
	a.ahead.Add(1)
}

// halfClose closes its writing side after the request, and waits until the server closes.
func (a *attack) halfClose(_ context.Context, i int) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.WriteString(conn, a.request(i, ""))
	if i%2 == 0 {
		_, _ = conn.Read(make([]byte, 1024))
	}
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
	a.halfCloses.Add(1)
}

// halfHead sends half of a request head, and stays.
func (a *attack) halfHead(ctx context.Context, i int) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	head := strings.TrimSuffix(a.request(i, ""), "\r\n") + "X-Long: " + strings.Repeat("x", 4096)
	_, _ = io.WriteString(conn, head)
	a.heads.Add(1)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, _ = io.Copy(io.Discard, conn) // until the server has had enough
}

// halfMessage sends a message without an end, and answers pings.
func (a *attack) halfMessage(ctx context.Context, i int) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = io.WriteString(conn, a.request(12*i, "&jsonRpc=true"))
	if err == nil {
		_, err = conn.Read(make([]byte, 1024)) // of the handshake
	}
	if err != nil {
		return
	}
	const size = 8 << 10
	// A text frame, not the last of its message.
	first := []byte{0x01, 0x80 | 126, size >> 8, size & 0xff, 0, 0, 0, 0}
	if _, err = conn.Write(append(first, strings.Repeat("x", size)...)); err != nil {
		return
	}
	a.messages.Add(1)
	b := make([]byte, 1024)
	for err == nil {
		if _, err = conn.Read(b); err == nil {
			_, err = conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}) // a pong
		}
	}
}

// neverRead subscribes to a channel with large messages, and reads none.
func (a *attack) neverRead(ctx context.Context, i int, id channel.ID) {
	conn, err := a.dial(i)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetReadBuffer(4096)
	if _, err := io.WriteString(conn, a.request(i/12*12+i%3*4, "", id)); err == nil {
		a.deaf.Add(1)
		<-ctx.Done()
	}
}
