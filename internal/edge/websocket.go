package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/hub"
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

// wsConn is one WebSocket. At rest it is one goroutine, its reader. Its writer runs only while there is something to write,
// and is the only one to write data frames; each is one Write of the network connection, which never interleaves Writes, so
// that the library's own control frames come between them and not into them.
type wsConn struct {
	// Immutable after serveWebSocket.
	edge    *Edge
	tenant  *tenant
	sub     subscription
	conn    *websocket.Conn
	net     net.Conn
	session *hub.Session
	ctx     context.Context         // ends with the connection; its cause is the Reason
	end     context.CancelCauseFunc // the first call counts
	slot    int

	writingSince atomic.Int64 // unix nanoseconds when the write under way began; 0 if none is
	unanswered   atomic.Int32 // pings since the last pong
	pingDue      atomic.Bool
	replyDue     atomic.Pointer[reply]

	turns int // visits since the last ping; owned by the wheel

	rpc *rpcState // nil unless the client speaks version 5; set before anybody else knows the connection
}

func (e *Edge) serveWebSocket(w http.ResponseWriter, r *http.Request, sub subscription) {
	c := &wsConn{edge: e, tenant: e.join(r.Context(), sub.portal), sub: sub}
	upgrade := &upgrade{ResponseWriter: w}
	conn, err := websocket.Accept(upgrade, r, e.acceptOptions(c))
	if err != nil {
		c.tenant.part()
		return // the library has answered
	}
	c.conn, c.net = conn, upgrade.conn
	c.ctx, c.end = context.WithCancelCause(context.Background()) // of its own: net/http ends the request's with the handler
	conn.SetReadLimit(-1)                                        // read holds our own, whose close has no text
	if sub.codec.calls {
		c.rpc = new(rpcState)
	}
	c.session = c.tenant.hub.Attach(sub.channels, sub.cursor, func() { e.connections.Go(c.write) })
	c.slot = e.wheel.add(c)
	c.tenant.crowds.enter(sub.owner(), sub.portal.Limits.Connections, c)
	e.metrics.webSockets.Inc()
	e.numbers.webSockets.Add(1)
	e.connections.Go(c.write)
	e.connections.Go(c.read) // not in this goroutine: what net/http holds for the request is freed when the handler returns
}

func (e *Edge) acceptOptions(c *wsConn) *websocket.AcceptOptions {
	options := &websocket.AcceptOptions{
		OriginPatterns:     e.config.Origins,
		InsecureSkipVerify: slices.Contains(e.config.Origins, "*"), // the signed ids in the URL are the secret, not a cookie
	}
	if c != nil {
		options.OnPongReceived = func(context.Context, []byte) { c.unanswered.Store(0) }
	}
	return options
}

// read reads until the connection ends, and then takes it down. What a text client sends is ignored, but must be read: control
// frames come the same way.
func (c *wsConn) read() {
	defer c.takeDown()
	for {
		_, message, err := c.conn.Reader(context.Background())
		if err != nil {
			c.end(readFailure(err))
			return
		}
		if !c.receive(message) {
			return
		}
	}
}

// readFailure gives the reason behind an error of the reader, if nothing else ended the connection before.
func readFailure(err error) *Reason {
	switch {
	case websocket.CloseStatus(err) != -1:
		return ReasonClientClosed
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), isNetError(err):
		return ReasonLost
	default:
		return ReasonProtocol
	}
}

func isNetError(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr)
}

func (c *wsConn) takeDown() {
	c.session.Detach()
	c.edge.wheel.remove(c, c.slot)
	c.tenant.crowds.leave(c.sub.owner(), c)
	c.tenant.part()
	c.conn.CloseNow()
	c.edge.metrics.webSockets.Dec()
	c.edge.numbers.webSockets.Add(-1)
	reason := ReasonLost
	errors.As(context.Cause(c.ctx), &reason)
	c.edge.metrics.ends[reason].Inc()
}

// write is the writer: it writes what is due until nothing is. The session starts it again.
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
		batch, err := c.session.Next(c.ctx)
		if err != nil {
			return
		}
		messages := c.tenant.withNote(&c.sub, batch)
		if len(messages) == 0 {
			if !batch.Nudged {
				return
			}
			continue
		}
		packet := c.edge.packets.encode(&c.sub, messages)
		ok := packet.frame == nil || c.send(packet.frame)
		c.edge.packets.release(packet)
		if !ok {
			return
		}
		c.edge.metrics.sent(webSocket, packet)
		if c.rpc != nil {
			c.tenant.recent.note(batch.Messages)
		}
	}
}

// send writes one whole frame, and reports false if the connection has ended or ends by it. The wheel watches over how long
// it takes: a deadline of its own would cost as much as the write.
func (c *wsConn) send(frame []byte) bool {
	if c.ctx.Err() != nil {
		return false
	}
	c.writingSince.Store(time.Now().UnixNano())
	_, err := c.net.Write(frame)
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

func (c *wsConn) leave() { c.edge.connections.Go(func() { c.close(ReasonLeaving) }) }
func (c *wsConn) cut()   { c.abort(ReasonLeaving) }

// makeRoom implements guest.
func (c *wsConn) makeRoom() {
	c.edge.connections.Go(func() { c.close(ReasonTooMany) })
}

// close ends the connection with a close frame, and waits some seconds for the client's.
func (c *wsConn) close(reason *Reason) {
	c.end(reason)
	c.conn.Close(reason.Code, reason.Text)
}

// abort ends the connection without a word.
func (c *wsConn) abort(reason *Reason) {
	c.end(reason)
	c.net.Close()
}

// upgrade hands the library a connection with small buffers. Those of net/http are 4 KiB each, for as long as the connection
// lives; ours hold a control frame, and all else passes them by.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn
}

const upgradeBuffer = 128 // bytes; the longest control frame is 127

// Hijack implements [http.Hijacker].
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = conn
	var early io.Reader = conn
	n := buffered.Reader.Buffered()
	if n > 0 { // a client that did not wait for the answer
		b, _ := buffered.Reader.Peek(n)
		early = io.MultiReader(bytes.NewReader(bytes.Clone(b)), conn)
	}
	reader := bufio.NewReaderSize(early, max(n, upgradeBuffer))
	reader.Peek(n)
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, upgradeBuffer)), nil
}
