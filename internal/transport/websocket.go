package transport

import (
	"net"
	"sync/atomic"
	"time"

	"pushgate/internal/frame"
	"pushgate/internal/hub"
	"pushgate/internal/netpoll"
	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

const (
	// missedPings is how many pings may go unanswered.
	missedPings = 2
	// closeTimeout is how long a client may take to answer a close frame, and ours to be written.
	closeTimeout = 5 * time.Second
)

var (
	// pingFrame is a control ping with the original's payload (RFC 6455, 5.5.2).
	pingFrame = append([]byte{0x89, 7}, "ws ping"...)
	// heartbeatFrame is the heartbeat of version 5, which its clients see, other than a ping.
	heartbeatFrame = frame.Append(nil, frame.OpText, []byte("ping"))
)

// Receiver handles what a client sends over a WebSocket. Its methods are called by the goroutine
// that reads the connection, and may block: nothing more is read meanwhile.
type Receiver interface {
	Owner
	// Limit returns how many bytes a message may have.
	Limit() int64
	// Wants reports whether messages are passed to Receive. If not, they are read and discarded.
	Wants() bool
	// Receive handles a message, and reports false if the connection ends.
	Receive(c *WebSocket, message []byte) (ok bool)
}

// WebSocket is one WebSocket connection. At rest it has no goroutine where the system allows it.
// Its reader runs while there is something to read, and takes everything down at the end. Each
// frame is one Write of the netpoll.Conn, which keeps concurrent Writes apart.
type WebSocket struct {
	Delivery
	receiver Receiver
	net      *netpoll.Conn // whose Close makes the reader take everything down
	slot     int
	beats    bool // the client waits for heartbeats of version 5
	kept     bool // the successor of this process has refused it

	pingDue    atomic.Bool
	beatDue    atomic.Bool
	replyDue   atomic.Pointer[reply]
	unanswered atomic.Int32               // pings since the last pong
	unfinished atomic.Int64               // unix nanoseconds when an unfinished message began; or 0
	closing    atomic.Pointer[time.Timer] // after our close frame, waits for the client's

	replying *reply // that is being written; owned by deliver

	// Owned by the reader.
	paid int64 // unix nanoseconds up to which the frames that came have used their time (see pace)
	deaf bool  // messages are discarded: only the client's close frame is waited for
	down bool  // everything has been taken down

	// Owned by the heartbeats.
	pingTicks, beatTicks int // since the last one
}

// Resumed says what a WebSocket was before it was handed over.
type Resumed struct {
	Beat bool // the client may have waited for its next heartbeat long enough
	Kept bool // the successor of this process has refused it
}

// NewWebSocket returns a WebSocket over conn, whose handshake is done, and which it owns. attach
// makes its session. Nothing is read or written before [WebSocket.Start].
func NewWebSocket(shared *Shared, conn net.Conn, receiver Receiver, reader *wire.Reader, before Resumed, attach func(wake func()) *hub.Session) *WebSocket {
	c := &WebSocket{receiver: receiver, net: shared.Conns.Hold(conn), slot: netpoll.RandomSlot(), beats: reader.Codec.Calls, kept: before.Kept}
	c.init(shared, receiver, reader, c, wire.PacketBytes)
	c.beatDue.Store(c.beats && before.Beat)
	c.session = attach(c.Wake)
	return c
}

// Start serves the connection. It is called once, before or after the other methods.
func (c *WebSocket) Start() {
	c.shared.Heartbeats.Add(c, c.slot)
	c.start()
	c.net.Serve(c.read)
}

// Drop ends a connection that has not been started.
func (c *WebSocket) Drop() {
	c.abort(ReasonPanic)
	c.takeDown()
}

// Kept reports that the successor of this process has refused the connection.
func (c *WebSocket) Kept() bool { return c.kept }

// Alive notes that the client has answered.
func (c *WebSocket) Alive() { c.unanswered.Store(0) }

func (c *WebSocket) kind() Kind { return KindWebSocket }

func (c *WebSocket) control() []byte {
	if c.pingDue.Swap(false) {
		return pingFrame
	}
	if c.beatDue.Swap(false) {
		return heartbeatFrame
	}
	if c.replying = c.replyDue.Swap(nil); c.replying != nil {
		return c.replying.frame
	}
	return nil
}

func (c *WebSocket) send(packet wire.Packet) (wait func() error) { return c.net.TryWrite(packet.Frame) }

func (c *WebSocket) sent(err error) (more bool) {
	if c.replying != nil {
		close(c.replying.out)
		c.replying = nil
	}
	if err != nil {
		c.abort(ReasonLost)
		return false
	}
	return true
}

// finish does nothing: whatever ended the connection has sent the close frame.
func (c *WebSocket) finish(*Reason) {}

func (c *WebSocket) abandon() { c.abort(ReasonPanic) }

// Reply sends a frame before all messages, and waits until it has been sent: while a client does
// not read, nothing is read from it. It is called by the reader. It reports false if the connection
// ends.
func (c *WebSocket) Reply(payload []byte) bool {
	r := &reply{frame: frame.Append(nil, c.reader.Codec.Opcode, payload), out: make(chan struct{})}
	c.replyDue.Store(r)
	if c.reason.Load() != nil {
		c.dropReply()
		return false
	}
	c.session.Nudge()
	<-r.out
	return c.reason.Load() == nil
}

// reply is a frame that the reader has passed to the delivery.
type reply struct {
	frame []byte
	out   chan struct{} // closed when it is out, or will never be
}

// dropReply lets a reader go on that waits for its reply to be sent.
func (c *WebSocket) dropReply() {
	if r := c.replyDue.Swap(nil); r != nil {
		close(r.out)
	}
}

// Tick implements [netpoll.Member]: it ends what is stuck or dead, and pings when it is time.
func (c *WebSocket) Tick(now time.Time) {
	c.victim.Strike("tick")
	if reason := c.owner.Over(now); reason != nil {
		c.closeSoon(reason)
		return
	}
	if since := c.unfinished.Load(); since != 0 && now.UnixNano()-since > int64(messageTimeout) {
		c.closeSoon(ReasonMessageTimeout)
		return
	}
	if c.stuck(now) {
		c.abort(ReasonWriteTimeout)
		return
	}
	nudge := false
	if c.beats {
		if c.beatTicks++; c.beatTicks >= c.shared.BeatTicks {
			c.beatTicks = 0
			c.beatDue.Store(true)
			nudge = true
		}
	}
	if c.waitingSince.Load() == 0 { // else the peer has yet to read what there is
		if c.pingTicks++; c.pingTicks >= c.shared.PingTicks {
			c.pingTicks = 0
			if c.unanswered.Add(1) > missedPings {
				c.abort(ReasonPingTimeout)
				return
			}
			c.pingDue.Store(true)
			nudge = true
		}
	}
	if nudge {
		c.session.Nudge()
	}
}

// Leave implements [netpoll.Member].
func (c *WebSocket) Leave() {
	c.shared.Conns.Start(func() {
		if c.kept || !c.shared.HandOver(c) {
			c.Close(ReasonLeaving)
		}
	})
}

// Cut implements [netpoll.Member].
func (c *WebSocket) Cut() { c.abort(ReasonLeaving) }

// Move asks the client to go to another process.
func (c *WebSocket) Move() { c.closeSoon(ReasonRebalanced) }

// Evict ends the connection, because the same user has a newer one.
func (c *WebSocket) Evict() { c.closeSoon(ReasonTooMany) }

// Revoke ends the connection: its client was put out. What has not been sent by now is not.
func (c *WebSocket) Revoke() {
	if c.end(ReasonRevoked) {
		c.dropReply()
		c.shared.Conns.Start(func() { c.sayWhy(ReasonRevoked) })
	}
}

// closeSoon is Close for callers that must not block.
func (c *WebSocket) closeSoon(reason *Reason) {
	if c.reason.Load() == nil {
		c.shared.Conns.Start(func() { c.Close(reason) })
	}
}

// Close sends a close frame, unless the connection ends already. The reader takes the connection
// down when the client has answered, or after some seconds. Close may block for as long.
func (c *WebSocket) Close(reason *Reason) {
	if c.end(reason) {
		c.dropReply()
		c.sayWhy(reason)
	}
}

func (c *WebSocket) sayWhy(reason *Reason) {
	c.sendClose(frame.ClosePayload(uint16(reason.Code), reason.Text))
}

// abort ends the connection without a close frame.
func (c *WebSocket) abort(reason *Reason) {
	c.end(reason)
	c.dropReply()
	c.net.Close()
}

// sendClose sends a close frame, unless one has been sent. The connection ends some seconds later,
// even if the client does not answer.
func (c *WebSocket) sendClose(payload []byte) {
	timer := time.AfterFunc(closeTimeout, func() { c.net.Close() })
	if !c.closing.CompareAndSwap(nil, timer) {
		timer.Stop()
		return
	}
	if _, err := c.net.Write(controlFrame(frame.OpClose, payload)); err != nil {
		c.net.Close()
	}
}

// takeDown ends everything. It is called by the reader.
func (c *WebSocket) takeDown() {
	if c.down {
		return
	}
	c.down = true
	c.end(ReasonLost)
	c.dropReply()
	c.net.Close()
	if timer := c.closing.Load(); timer != nil {
		timer.Stop()
	}
	c.detach()
	c.shared.Metrics.Ended(c.reason.Load())
}

// detach ends everything except the network connection.
func (c *WebSocket) detach() {
	c.session.Detach()
	c.shared.Heartbeats.Remove(c, c.slot)
	c.owner.Ended(c.reason.Load())
}

// Claim takes the network connection away from c if it rests. It returns it with the id up to which
// the client has everything. c has ended then, with ReasonHandedOver: the caller serves the
// connection elsewhere or closes it. If Claim reports false, c goes on as before.
func (c *WebSocket) Claim() (through proto.ID, conn net.Conn, ok bool) {
	through, ok = c.session.Claim() // now nothing delivers
	if !ok {
		return through, nil, false
	}
	if conn, ok = c.net.Claim(); !ok { // now nothing reads
		c.Wake()
		return through, nil, false
	}
	if !c.end(ReasonHandedOver) { // it ends already, and is sending its close frame
		c.Wake()
		c.net.Serve(c.read)
		return through, nil, false
	}
	c.detach()
	return through, conn, true
}

// Wait waits for d, and reports false if the connection has a reason to end by then.
func (c *WebSocket) Wait(d time.Duration) bool {
	time.Sleep(d)
	return c.reason.Load() == nil
}
