package edge

import (
	"bufio"
	"errors"
	"sync"
	"time"

	"pushgate/internal/frame"
	"pushgate/internal/proto"
)

// What a client may send: one that sends more is read more slowly, and pays with its own socket's buffers. It is not sent away, for it would
// only come back.
const (
	frameInterval = 20 * time.Millisecond // between two frames, in the long run
	frameBurst    = 500 * frameInterval   // so many frames may come at once
)

// closeTimeout is how long a client may take to answer a close frame, and ours to be written.
const closeTimeout = 5 * time.Second

// reader is what a connection needs while it is read. One at rest has none.
type reader struct {
	owner  *wsConn // nil in the pool
	buffer *bufio.Reader
	frames *frame.Reader
}

const readBuffer = 512 // bytes; what is left of larger messages passes it by

// readers lends readers. It may be used concurrently.
type readers struct{ pool sync.Pool }

func (rs *readers) take(c *wsConn) *reader {
	r, _ := rs.pool.Get().(*reader)
	if r == nil {
		r = &reader{buffer: bufio.NewReaderSize(nil, readBuffer)}
		r.frames = frame.NewReader(r.buffer, func(opcode byte, payload []byte) error { return r.owner.control(opcode, payload) })
	}
	r.owner = c
	r.buffer.Reset(c.net)
	return r
}

// release takes back a reader that is between two messages and has nothing in its buffer.
func (rs *readers) release(r *reader) {
	r.owner = nil
	r.buffer.Reset(nil)
	rs.pool.Put(r)
}

// read reads what the client has sent, and reports true if the connection may rest. When the connection has ended, it takes it down and
// reports false. What a text client sends is ignored, but must be read: control frames come the same way.
func (c *wsConn) read() (again bool) {
	defer c.edge.config.Panics.Recover("read", c.readerCrashed)
	c.victim.Strike("read")
	r := c.edge.readers.take(c)
	for {
		opcode, err := r.frames.Next()
		if err != nil {
			c.readFailed(err)
			c.takeDown()
			return false
		}
		c.pace()
		if opcode != frame.OpContinuation && !c.deaf && !c.receive(r.frames) {
			if c.closing.Load() == nil {
				c.takeDown()
				return false
			}
			c.deaf = true // only the client's close frame is waited for
		}
		if r.buffer.Buffered() == 0 && !r.frames.Within() {
			c.edge.readers.release(r)
			return true
		}
	}
}

// pace waits if the client has sent too many frames of late. Whoever sends is alive, and his pongs may stand behind what has not been read.
func (c *wsConn) pace() {
	now := time.Now().UnixNano()
	c.paid = max(c.paid, now) + int64(frameInterval)
	if ahead := time.Duration(c.paid-now) - frameBurst; ahead > 0 {
		c.unanswered.Store(0)
		c.edge.metrics.readsPaused.Inc()
		_ = wait(c.ctx, ahead)
	}
}

// errClientClosed ends the reading of a connection whose client has sent its close frame.
var errClientClosed = errors.New("the client has closed")

// control takes a control frame.
func (c *wsConn) control(opcode byte, payload []byte) error {
	switch opcode {
	case frame.OpPong:
		c.unanswered.Store(0)
	case frame.OpPing:
		pong := proto.AppendFrameHeader(make([]byte, 0, frame.MaxControl+2), frame.OpPong, len(payload))
		_, err := c.net.Write(append(pong, payload...)) // if it is stuck, so are the pings that nobody answers
		return err
	case frame.OpClose:
		if !frame.ValidClose(payload) {
			return frame.ErrProtocol
		}
		c.end(ReasonClientClosed)
		c.sayClose(payload)
		return errClientClosed
	}
	return nil
}

// readFailed notes why nothing more can be read, if nothing else ended the connection before.
func (c *wsConn) readFailed(err error) {
	if errors.Is(err, frame.ErrProtocol) {
		c.end(ReasonProtocol)
		c.sayClose(frame.ClosePayload(frame.CloseProtocol, ""))
		return
	}
	c.end(ReasonLost)
}

// sayClose sends a close frame, unless one has been sent. Whether or not the client answers or takes it, the connection ends some seconds
// later.
func (c *wsConn) sayClose(payload []byte) {
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
