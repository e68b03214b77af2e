package transport

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"pushgate/internal/hub"
	"pushgate/internal/netpoll"
	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

// comment keeps proxies from taking a stream for dead.
const comment = ":\n\n"

// Stream is one stream of server-sent events (WHATWG HTML, 9.2). At rest it has no goroutine where
// the system allows it. Its reader waits until the client goes, and takes everything down.
type Stream struct {
	Delivery
	net     *netpoll.Conn
	slot    int
	chunked bool // the answer is in chunks (RFC 9112, 7.1); else it ends with the connection

	headDue    atomic.Pointer[[]byte]
	commentDue atomic.Bool
	ticks      int // since the last comment; owned by the heartbeats
}

// NewStream returns a stream over conn, which it owns. head is the head of the HTTP answer, which
// says whether the answer is chunked. placed says that the session's cursor is known; the client
// gets it and comes back with it.
func NewStream(shared *Shared, conn net.Conn, owner Owner, reader *wire.Reader, head []byte, chunked, placed bool, attach func(wake func()) *hub.Session) *Stream {
	s := &Stream{net: shared.Conns.Hold(conn), slot: netpoll.RandomSlot(), chunked: chunked}
	s.init(shared, owner, reader, s, wire.PacketBytes)
	s.session = attach(s.Wake)
	head = append(head, s.chunk(streamHead(s.session.Cursor(), placed))...)
	s.headDue.Store(&head)
	return s
}

// Start serves the stream. It is called once, before or after the other methods.
func (s *Stream) Start() {
	s.shared.Heartbeats.Add(s, s.slot)
	s.start()
	s.net.Serve(s.read)
}

// streamHead returns the first lines of a stream: how long to wait before coming back, which is not
// the same for all, and the id where the stream begins. An id without data is no event. But a
// browser that loses the connection before the first event comes back with that id, and misses
// nothing. In an empty log it is the zero id. A stream that is not placed has no id.
func streamHead(cursor proto.ID, placed bool) []byte {
	head := fmt.Appendf(nil, "retry: %d\n", 1000+rand.IntN(2000))
	if placed || !cursor.IsZero() {
		head = fmt.Appendf(head, "id: %s\n", cursor)
	}
	return append(head, '\n')
}

func (s *Stream) kind() Kind { return KindStream }

func (s *Stream) control() []byte {
	if head := s.headDue.Swap(nil); head != nil {
		return *head
	}
	if s.commentDue.Swap(false) {
		return s.chunk([]byte(comment))
	}
	return nil
}

func (s *Stream) send(packet wire.Packet) (wait func() error) {
	if packet.Messages == 0 { // from control
		return s.net.TryWrite(packet.Frame)
	}
	return s.net.TryWrite(s.chunk(packet.Payload()))
}

// chunk returns a part of the answer as it is sent.
func (s *Stream) chunk(text []byte) []byte {
	if !s.chunked {
		return text
	}
	return fmt.Appendf(make([]byte, 0, len(text)+16), "%x\r\n%s\r\n", len(text), text)
}

func (s *Stream) sent(err error) (more bool) {
	if err != nil {
		s.end(ReasonLost)
		s.net.Close()
		return false
	}
	return true
}

// finish completes the answer, so that the client knows that nothing is missing.
func (s *Stream) finish(*Reason) {
	if s.chunked {
		if wait := s.net.TryWrite([]byte("0\r\n\r\n")); wait != nil {
			s.net.SetWriteDeadline(time.Now().Add(closeTimeout))
			s.shared.Conns.Start(func() {
				_ = wait()
				s.net.Close()
			})
			return
		}
	}
	s.net.Close()
}

func (s *Stream) abandon() {
	s.end(ReasonPanic)
	s.net.Close()
}

// read waits until the client goes. What it sends is discarded: no request follows a stream.
func (s *Stream) read() (rest bool) {
	var b [64]byte
	if _, err := s.net.Read(b[:]); err == nil {
		return true
	} else if err == io.EOF {
		s.end(ReasonClientClosed)
	}
	s.end(ReasonLost)
	s.takeDown()
	return false
}

// takeDown ends everything. It is called by the reader, once.
func (s *Stream) takeDown() {
	s.net.Close()
	s.session.Detach()
	s.shared.Heartbeats.Remove(s, s.slot)
	s.owner.Ended(s.reason.Load())
	s.shared.Metrics.Ended(s.reason.Load())
}

// Drop ends a stream that has not been started.
func (s *Stream) Drop() {
	s.end(ReasonPanic)
	s.takeDown()
}

// stop ends the stream with a complete answer.
func (s *Stream) stop(reason *Reason) {
	s.end(reason)
	s.session.Nudge()
}

// Tick implements [netpoll.Member].
func (s *Stream) Tick(now time.Time) {
	s.victim.Strike("tick")
	if reason := s.owner.Over(now); reason != nil {
		s.stop(reason)
		return
	}
	if s.stuck(now) {
		s.end(ReasonWriteTimeout)
		s.net.Close()
		return
	}
	if s.ticks++; s.ticks < s.shared.PingTicks {
		return
	}
	s.ticks = 0
	s.commentDue.Store(true)
	s.session.Nudge()
}

// Leave implements [netpoll.Member].
func (s *Stream) Leave() { s.stop(ReasonLeaving) }

// Cut implements [netpoll.Member].
func (s *Stream) Cut() {
	s.end(ReasonLeaving)
	s.net.Close()
}

// Move asks the client to go to another process.
func (s *Stream) Move() { s.stop(ReasonRebalanced) }

// Evict ends the stream, because the same user has a newer connection.
func (s *Stream) Evict() { s.stop(ReasonTooMany) }

// Revoke ends the stream: its client was put out, and is refused when it comes back.
func (s *Stream) Revoke() { s.stop(ReasonRevoked) }
