package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/frame"
	"pushgate/internal/hub"
	"pushgate/internal/netpoll"
	"pushgate/internal/proto"
)

const (
	// writeTimeout is how long one write may be stuck before the session ends. A reader that is merely slow never gets here:
	// what it cannot take stays in the log.
	writeTimeout = 10 * time.Second
	// missedPings is how many pings may go unanswered.
	missedPings = 2
)

// pingFrame is a control ping with the original's payload (RFC 6455, 5.5.2).
var pingFrame = append([]byte{0x89, 7}, "ws ping"...)

// wsConn is one WebSocket. At rest it is no goroutine (where the system allows it): its reader runs while there is something to
// read. Data frames are written in its turns, or by its writer, a goroutine that is started when a turn would have to wait and that runs while
// there is something to write; never by both. Each frame is one Write of the network connection, which never interleaves Writes, so that control
// frames come between them and not into them.
type wsConn struct {
	// Immutable after serveWebSocket.
	edge    *Edge
	tenant  *tenant
	sub     subscription
	net     *netpoll.Conn // whose Close has the reader take everything down
	session *hub.Session
	ctx     context.Context         // ends with the connection; its cause is the Reason
	end     context.CancelCauseFunc // the first call counts
	slot    int

	writingSince atomic.Int64 // unix nanoseconds when the write under way began; 0 if none is
	unanswered   atomic.Int32 // pings since the last pong
	pingDue      atomic.Bool
	replyDue     atomic.Pointer[reply]
	closing      atomic.Pointer[time.Timer] // bounds the wait for the client's close frame; nil while ours has not been sent

	paid int64 // unix nanoseconds up to which the frames that came have used up their time; owned by the reader
	deaf bool  // what the client sends does not count any more; owned by the reader
	kept bool  // the successor does not take it; set before anybody else knows the connection

	turns int // visits since the last ping; owned by the wheel

	rpc *rpcState // nil unless the client speaks version 5; set before anybody else knows the connection
}

func (e *Edge) serveWebSocket(w http.ResponseWriter, r *http.Request, sub subscription) {
	t := e.join(r.Context(), sub.portal)
	upgrade := &upgrade{ResponseWriter: w, lend: true}
	handshake, err := websocket.Accept(upgrade, r, e.acceptOptions())
	if err != nil {
		t.part()
		return // the library has answered
	}
	handshake.CloseNow() // the library has done its work, and would hold more than all else here
	e.connect(t, sub, upgrade.conn, earlier{})
}

// connect serves a WebSocket of a tenant that has been joined for it.
func (e *Edge) connect(t *tenant, sub subscription, conn net.Conn, before earlier) {
	held := e.resting.Hold(conn)
	c := &wsConn{edge: e, tenant: t, sub: sub, net: held, kept: before.kept}
	c.ctx, c.end = context.WithCancelCause(context.Background()) // of its own: net/http ends the request's with the handler
	if sub.codec.calls {
		c.rpc = new(rpcState)
	}
	c.session = c.tenant.hub.Attach(sub.channels, sub.cursor, func() { e.writers.add(c) })
	if c.rpc != nil {
		c.rpc.late.Store(before.resumed) // the client may have waited for its next heartbeat long enough
		for _, user := range before.statuses {
			c.watchUser(user)
		}
	}
	c.slot = e.wheel.add(c)
	c.tenant.crowds.enter(sub.owner(), sub.portal.Limits.Connections, c)
	e.ceiling.apart.Add(1)
	e.metrics.webSockets.Inc()
	c.tenant.numbers.webSockets.Add(1)
	e.writers.add(c)
	held.Serve(c.read)
}

func (e *Edge) acceptOptions() *websocket.AcceptOptions {
	return &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin, which has been looked at
	}
}

func (c *wsConn) takeDown() {
	c.net.Close()
	if timer := c.closing.Load(); timer != nil {
		timer.Stop()
	}
	c.depart()
	reason := ReasonLost
	errors.As(context.Cause(c.ctx), &reason)
	c.edge.metrics.ends[reason].Inc()
}

// depart takes the connection off everywhere, and leaves the socket alone.
func (c *wsConn) depart() {
	c.session.Detach()
	c.edge.wheel.remove(c, c.slot)
	c.tenant.crowds.leave(c.sub.owner(), c)
	c.tenant.part()
	c.edge.ceiling.apart.Add(-1)
	c.edge.metrics.webSockets.Dec()
	c.tenant.numbers.webSockets.Add(-1)
}

// turn implements writable. What is rare, or has to wait, is for the writer.
func (c *wsConn) turn(p *press) (again bool) {
	if c.pingDue.Load() || c.replyDue.Load() != nil || c.rpc != nil && c.rpc.late.Load() {
		c.edge.connections.Go(c.write)
		return false
	}
	if c.ctx.Err() != nil {
		return false
	}
	batch := c.session.Next()
	messages := c.tenant.withNote(&c.sub, batch)
	if len(messages) == 0 {
		return batch.Nudged
	}
	for len(messages) > 0 {
		packet, rest := p.encode(&c.sub, messages, packetBytes)
		if packet.frame != nil {
			if finish := c.net.TryWrite(packet.frame); finish != nil {
				c.edge.connections.Go(func() {
					if c.sent(packet, c.waitFor(finish)) && c.deliver(rest) {
						c.note(batch)
						c.write()
					}
				})
				return false
			}
		}
		c.sent(packet, true)
		messages = rest
	}
	c.note(batch)
	return !c.session.Rest()
}

// write is the writer: it writes what is due until nothing is. The session asks for another turn when something is.
func (c *wsConn) write() {
	for {
		if c.pingDue.Swap(false) && !c.send(pingFrame) {
			return
		}
		if c.rpc != nil && c.rpc.late.Swap(false) && !c.send(heartbeatFrame) {
			return
		}
		if r := c.replyDue.Swap(nil); r != nil {
			if !c.send(r.frame) {
				return
			}
			close(r.sent)
		}
		if c.ctx.Err() != nil {
			return
		}
		batch := c.session.Next()
		messages := c.tenant.withNote(&c.sub, batch)
		if len(messages) == 0 {
			if !batch.Nudged {
				return
			}
			continue
		}
		if !c.deliver(messages) {
			return
		}
		c.note(batch)
	}
}

// deliver writes messages, and reports false if the connection has ended or ends by it.
func (c *wsConn) deliver(messages []*proto.Message) bool {
	p := c.edge.packets.press()
	defer p.putAway()
	for len(messages) > 0 {
		packet, rest := p.encode(&c.sub, messages, packetBytes)
		if !c.sent(packet, packet.frame == nil || c.send(packet.frame)) {
			return false
		}
		messages = rest
	}
	return true
}

// sent ends the life of a packet, and counts it if it was written.
func (c *wsConn) sent(packet packet, ok bool) bool {
	c.edge.packets.release(packet)
	if ok {
		c.edge.metrics.sent(webSocket, packet)
	}
	return ok
}

// note remembers what was sent, if the client is to acknowledge it.
func (c *wsConn) note(batch hub.Batch) {
	if c.rpc != nil {
		c.tenant.recent.note(batch.Messages)
	}
}

// send writes one whole frame, and reports false if the connection has ended or ends by it.
func (c *wsConn) send(frame []byte) bool {
	return c.ctx.Err() == nil && c.waitFor(func() error {
		_, err := c.net.Write(frame)
		return err
	})
}

// waitFor calls what writes, and reports false if the connection ends by it. The wheel watches over how long it takes: a deadline of its own
// would cost as much as the write.
func (c *wsConn) waitFor(write func() error) bool {
	c.writingSince.Store(time.Now().UnixNano())
	err := write()
	c.writingSince.Store(0)
	if err != nil {
		c.end(ReasonLost)
		c.net.Close() // the reader takes it down
		return false
	}
	return true
}

// visit implements member: it ends what is stuck or dead, and pings when it is time.
func (c *wsConn) visit(now time.Time) {
	if reason := c.tenant.over(&c.sub, now); reason != nil {
		c.edge.connections.Go(func() { c.close(reason) })
		return
	}
	if c.rpc != nil {
		c.beat(now)
	}
	if since := c.writingSince.Load(); since != 0 {
		if now.UnixNano()-since > int64(writeTimeout) {
			c.abort(ReasonWriteTimeout)
		}
		return // the peer has yet to read what there is
	}
	if c.turns++; c.turns < c.edge.wheel.pings {
		return
	}
	c.turns = 0
	if c.unanswered.Add(1) > missedPings {
		c.abort(ReasonPingTimeout)
		return
	}
	c.pingDue.Store(true)
	c.session.Nudge()
}

func (c *wsConn) leave() {
	c.edge.connections.Go(func() {
		if !c.bequeath() {
			c.close(ReasonLeaving)
		}
	})
}

func (c *wsConn) cut() { c.abort(ReasonLeaving) }

// makeRoom implements guest.
func (c *wsConn) makeRoom() {
	c.edge.connections.Go(func() { c.close(ReasonTooMany) })
}

// close tells the client that the connection ends, unless it has ended. The reader takes it down when the client has said so too, or after some
// seconds.
func (c *wsConn) close(reason *Reason) {
	c.end(reason)
	if context.Cause(c.ctx) != reason {
		return // whoever was earlier has seen to it
	}
	c.sayClose(frame.ClosePayload(uint16(reason.Code), reason.Text))
}

// abort ends the connection without a word.
func (c *wsConn) abort(reason *Reason) {
	c.end(reason)
	c.net.Close()
}
