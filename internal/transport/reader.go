package transport

import (
	"bufio"
	"errors"
	"io"
	"sync"
	"time"

	"pushgate/internal/frame"
)

// What a client may send. One that sends more is read more slowly, so that its own socket fills. It
// is not disconnected, because it would only come back.
const (
	frameInterval = 20 * time.Millisecond // between two frames, in the long run
	frameBurst    = 500 * frameInterval   // 500 frames may come at once
)

// readBuffer is the size of a reader's buffer in bytes. Larger messages are read past it.
const readBuffer = 512

// reader is what a WebSocket needs while it is read. One at rest has none.
type reader struct {
	conn   *WebSocket // nil in the pool
	buffer *bufio.Reader
	frames *frame.Reader
}

var readers = sync.Pool{New: func() any {
	r := &reader{buffer: bufio.NewReaderSize(nil, readBuffer)}
	r.frames = frame.NewReader(r.buffer, func(opcode byte, payload []byte) error { return r.conn.controlFrame(opcode, payload) })
	return r
}}

func takeReader(c *WebSocket) *reader {
	r := readers.Get().(*reader)
	r.conn = c
	r.buffer.Reset(r)
	return r
}

// release returns a reader to the pool, which is between two messages and has nothing in its
// buffer.
func (r *reader) release() {
	r.conn = nil
	r.buffer.Reset(nil)
	readers.Put(r)
}

// Read implements [io.Reader] for the buffer. It notes when the first byte of an unfinished message
// came.
func (r *reader) Read(b []byte) (int, error) {
	n, err := r.conn.net.Read(b)
	if n > 0 && r.conn.unfinished.Load() == 0 {
		r.conn.unfinished.Store(time.Now().UnixNano())
	}
	return n, err
}

// read reads frames. It is the function for [netpoll.Conn.Serve], and reports true if the
// connection may rest. When the connection has ended, or after a panic, it takes it down.
func (c *WebSocket) read() (rest bool) {
	defer c.shared.Panics.Recover("read", func() {
		c.abort(ReasonPanic)
		c.takeDown()
	})
	c.victim.Strike("read")
	return c.readFrames()
}

// readFrames reads what the client has sent. What a text client sends is ignored, but must be read:
// control frames come the same way.
func (c *WebSocket) readFrames() (rest bool) {
	r := takeReader(c)
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
			c.deaf = true // from now on, only the client's close frame counts
		}
		switch {
		case r.frames.Within(): // in a message that is discarded: its time goes on
		case r.buffer.Buffered() > 0: // the next one has begun
			c.unfinished.Store(time.Now().UnixNano())
		default:
			c.unfinished.Store(0)
			r.release()
			return true
		}
	}
}

// pace waits if the client has sent too many frames. A client that sends is alive, even if its
// pongs have not been read yet.
func (c *WebSocket) pace() {
	now := time.Now().UnixNano()
	c.paid = max(c.paid, now) + int64(frameInterval)
	if ahead := time.Duration(c.paid-now) - frameBurst; ahead > 0 {
		c.Alive()
		c.shared.Metrics.readsPaused.Inc()
		time.Sleep(ahead) // at most frameInterval
	}
}

// receive reads a message and passes it to the receiver. It reports false if the connection ends.
func (c *WebSocket) receive(message io.Reader) bool {
	c.shared.Metrics.received.Inc()
	limit := c.receiver.Limit()
	if !c.receiver.Wants() {
		n, err := io.Copy(io.Discard, io.LimitReader(message, limit+1))
		return c.arrived(n, limit, err)
	}
	whole, counted, err := c.shared.Incoming.readAll(message, limit)
	defer c.shared.Incoming.release(counted)
	return c.arrived(int64(len(whole)), limit, err) && c.receiver.Receive(c, whole)
}

// arrived ends the connection and reports false if a message did not come whole, was too large, or
// found no room.
func (c *WebSocket) arrived(size, limit int64, err error) bool {
	switch {
	case err == errNoRoom:
		c.Close(ReasonNoRoom)
		return false
	case err != nil:
		c.readFailed(err)
		return false
	case size > limit:
		c.Close(ReasonTooBig)
		return false
	}
	c.unfinished.Store(0) // it is our time from now on
	return true
}

// errClientClosed ends the reading of a connection whose client has sent its close frame.
var errClientClosed = errors.New("the client has closed")

// controlFrame handles a control frame.
func (c *WebSocket) controlFrame(opcode byte, payload []byte) error {
	switch opcode {
	case frame.OpPong:
		c.Alive()
	case frame.OpPing:
		// If this blocks, our pings are not answered either, and the connection ends.
		_, err := c.net.Write(controlFrame(frame.OpPong, payload))
		return err
	case frame.OpClose:
		if !frame.ValidClose(payload) {
			return frame.ErrProtocol
		}
		c.end(ReasonClientClosed)
		c.sendClose(payload)
		return errClientClosed
	}
	return nil
}

// readFailed notes why nothing more can be read, if nothing else ended the connection before.
func (c *WebSocket) readFailed(err error) {
	if errors.Is(err, frame.ErrProtocol) {
		c.end(ReasonProtocol)
		c.sendClose(frame.ClosePayload(frame.CloseProtocol, ""))
		return
	}
	c.end(ReasonLost)
}

// controlFrame returns a whole control frame (RFC 6455, 5.5). payload has at most
// [frame.MaxControl] bytes.
func controlFrame(opcode byte, payload []byte) []byte {
	b := make([]byte, 0, frame.MaxControl+2)
	return frame.Append(b, opcode, payload)
}
