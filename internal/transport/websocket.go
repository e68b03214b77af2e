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
	heartbeatFrame = proto.NewFrame(proto.OpText, []byte("ping")).WebSocket()
)

// Receiver carries out what a client sends over a WebSocket. Its methods are called by the goroutine
// that reads the connection, and may block: nothing more is read meanwhile.
type Receiver interface {
	Owner
	// Limit returns how many bytes a message may have.
	Limit() int64
	// Wants reports whether messages are looked at. What others send is read and thrown away.
	Wants() bool
	// Receive takes a message, and reports false if the connection ends by it.
	Receive(c *WebSocket, message []byte) (ok bool)
}

// WebSocket is one WebSocket connection. At rest it is no goroutine where the system allows it. Its
// reader runs while there is something to read, and takes everything down at the end. Each frame is
// one Write of the network connection, which never interleaves Writes.
type WebSocket struct {
	Delivery
	receiver Receiver
	net      *netpoll.Conn // whose Close has the reader take everything down
	slot     int
	beats    bool // the client waits for heartbeats of version 5
	kept     bool // the successor of this process does not take it

	pingDue    atomic.Bool
	beatDue    atomic.Bool
	replyDue   atomic.Pointer[reply]
	unanswered atomic.Int32               // pings since the last pong
	unfinished atomic.Int64               // unix nanoseconds when a message began that has not come whole; 0 if there is none
	closing    atomic.Pointer[time.Timer] // bounds the wait for the client's close frame; nil until ours is sent

	replying *reply // that is being written; owned by the turn

	// Owned by the reader.
	paid int64 // unix nanoseconds up to which the frames that came have used up their time
	deaf bool  // what the client sends does not count any more
	down bool  // everything has been taken down

	// Owned by the heartbeats.
	pingTicks, beatTicks int // since the last one
}

// Resumed says what a WebSocket was before it was handed over.
type Resumed struct {
	Beat bool // the client may have waited for its next heartbeat long enough
	Kept bool // the successor of this process did not take it
}

// NewWebSocket makes a WebSocket of conn, whose handshake is done, and which it owns. attach makes its
// session. Nothing is read or written before [WebSocket.Start].
func NewWebSocket(shared *Shared, conn net.Conn, receiver Receiver, reader *wire.Reader, before Resumed, attach func(wake func()) *hub.Session) *WebSocket {
	c := &WebSocket{receiver: receiver, net: shared.Conns.Hold(conn), slot: netpoll.RandomSlot(), beats: reader.Codec.Calls, kept: before.Kept}
	c.init(shared, receiver, reader, c, wire.PacketBytes)
	c.beatDue.Store(c.beats && before.Beat)
	c.session = attach(c.Wake)
	return c
}

// Start has the connection served. It is called once, before or after the other methods.
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

// Kept reports whether the successor of this process does not take the connection.
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

// finish has nothing to say: who ended the connection has said it.
func (c *WebSocket) finish(*Reason) {}

func (c *WebSocket) abandon() { c.abort(ReasonPanic) }

// Reply sends a frame before all messages, and waits until it is out: a client that does not read is
// not read from. It is called by the reader. It reports false if the connection ends.
func (c *WebSocket) Reply(payload []byte) bool {
	r := &reply{frame: proto.NewFrame(c.reader.Codec.Opcode, payload).WebSocket(), out: make(chan struct{})}
	c.replyDue.Store(r)
	if c.reason.Load() != nil {
		c.dropReply()
		return false
	}
	c.session.Nudge()
	<-r.out
	return c.reason.Load() == nil
}

// reply is a frame on its way from the reader to the next turn.
type reply struct {
	frame []byte
	out   chan struct{} // closed when it is out, or will never be
}

// dropReply has the reader go on that waits for a reply to be written.
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

// Evict makes room for a newer connection of the same user.
func (c *WebSocket) Evict() { c.closeSoon(ReasonTooMany) }

// closeSoon is Close for callers that must not block.
func (c *WebSocket) closeSoon(reason *Reason) {
	if c.reason.Load() == nil {
		c.shared.Conns.Start(func() { c.Close(reason) })
	}
}

// Close tells the client that the connection ends, unless it ends already. The reader takes it down
// when the client has said so too, or after some seconds. It may block for as long.
func (c *WebSocket) Close(reason *Reason) {
	if c.end(reason) {
		c.dropReply()
		c.sayClose(frame.ClosePayload(uint16(reason.Code), reason.Text))
	}
}

// abort ends the connection without a word.
func (c *WebSocket) abort(reason *Reason) {
	c.end(reason)
	c.dropReply()
	c.net.Close()
}

// sayClose sends a close frame, unless one has been sent. Whether or not the client answers or takes
// it, the connection ends some seconds later.
func (c *WebSocket) sayClose(payload []byte) {
	timer := time.AfterFunc(closeTimeout, func() { c.net.Close() })
	if !c.closing.CompareAndSwap(nil, timer) {
		timer.Stop()
		return
	}
	whole := proto.AppendFrameHeader(make([]byte, 0, frame.MaxControl+2), frame.OpClose, len(payload))
	if _, err := c.net.Write(append(whole, payload...)); err != nil {
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
	c.comeOff()
	c.shared.Metrics.Ended(c.reason.Load())
}

// comeOff takes the connection off everywhere, and leaves the socket alone.
func (c *WebSocket) comeOff() {
	c.session.Detach()
	c.shared.Heartbeats.Remove(c, c.slot)
	c.owner.Ended()
}

// Claim makes the caller the only owner of the connection if it rests, and returns the id up to which
// the client has been sent everything. Nothing of c is left then but its reason, ReasonHandedOver: the
// caller has the connection served elsewhere or closes it. Else c goes on as before.
func (c *WebSocket) Claim() (through proto.ID, conn net.Conn, ok bool) {
	through, ok = c.session.Claim() // the turn's part
	if !ok {
		return through, nil, false
	}
	if conn, ok = c.net.Claim(); !ok { // the reader's
		c.Wake()
		return through, nil, false
	}
	if !c.end(ReasonHandedOver) { // it ends already, and its client is being told
		c.Wake()
		c.net.Serve(c.read)
		return through, nil, false
	}
	c.comeOff()
	return through, conn, true
}

// Wait waits for a moment, and reports false if the connection ends before it is over.
func (c *WebSocket) Wait(d time.Duration) bool {
	time.Sleep(d)
	return c.reason.Load() == nil
}
