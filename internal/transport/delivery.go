// Package transport delivers what a session has to its connection: by WebSocket, long poll or
// server-sent events.
//
// [Delivery.deliver] is the only way from a session to a connection. A transport only says how a
// frame is sent without waiting, and how its connection ends. A connection that something is due
// for is in a [Queue], whose few goroutines serve all connections.
package transport

import (
	"math"
	"sync/atomic"
	"time"

	"pushgate/internal/contain"
	"pushgate/internal/hub"
	"pushgate/internal/netpoll"
	"pushgate/internal/proto"
	"pushgate/internal/tracing"
	"pushgate/internal/trail"
	"pushgate/internal/wire"
)

// Owner has admitted a subscriber, and knows what it may see. Each connection has its own. The
// methods may be called concurrently and must not block.
type Owner interface {
	// Messages returns the messages of a batch as the subscriber must get them, with a note of
	// the gap if there is one. They are valid until the next call. It may end the connection, and
	// then they are not sent.
	Messages(hub.Batch) []*proto.Message
	// Over returns why the connection must end now; nil if it may stay.
	Over(now time.Time) *Reason
	// Written is called when messages have been written that had been due since a time: only if
	// that was long ago, or if Shared.Followed says that somebody wants to know of all.
	Written(Written)
	// Ended is called once, when the connection has ended.
	Ended(*Reason)
}

// Written is messages that were written together. Times are unix microseconds.
type Written struct {
	First, Last proto.ID
	Due         int64 // when the process had the first one, or, of a replay, all of them
	At          int64
}

// Shared is what the connections of one process have in common. All fields but Panics and Tracer
// are required, and none changes.
type Shared struct {
	Conns      *netpoll.Set        // where connections rest
	Heartbeats *netpoll.Heartbeats // ticks WebSockets and streams
	Queue      *Queue
	Incoming   *Incoming
	Metrics    *Metrics
	Panics     contain.Report
	Tracer     *tracing.Tracer // nil: none

	PingTicks int // ticks from one ping, or comment of a stream, to the next
	BeatTicks int // ticks from one heartbeat of version 5 to the next

	Followed func() bool // all that is written is reported to the owners; nil: only what is late

	// HandOver hands a WebSocket to the successor of this process. It reports false if that is not
	// possible, and the WebSocket must be closed. It may block.
	HandOver func(*WebSocket) bool
}

// sender is how one transport sends. Its methods are called by one goroutine at a time: the one
// that delivers.
type sender interface {
	// control returns a frame that is sent before all messages; nil if none is due.
	control() []byte
	// send sends a packet as far as that goes without waiting, and returns nil if all is sent.
	// Else it returns a function that sends the rest and may block.
	send(wire.Packet) (wait func() error)
	// sent is called when a packet has been sent, or with the error. It reports whether more can
	// be sent.
	sent(error) (more bool)
	// finish is called once, when the connection ends for a reason, to let the client know.
	finish(*Reason)
	// abandon closes the connection after a panic.
	abandon()
	kind() Kind
}

// Delivery sends to a connection what its session has. The connection of each transport embeds
// one.
type Delivery struct {
	victim contain.Victim

	// Immutable after the first delivery.
	shared  *Shared
	owner   Owner
	reader  *wire.Reader
	session *hub.Session
	conn    sender
	most    int // bytes of a packet

	reason atomic.Pointer[Reason] // why the connection ends; the first one counts
	// Unix nanoseconds since when a write waits; 0 if none does.
	waitingSince atomic.Int64

	// Owned by deliver.
	unsent   []*proto.Message // of the last batch
	due      int64            // unix microseconds: since when the last batch has been due
	withheld bool             // the reader was not sent messages that it must not have
}

// init makes a delivery ready. most is how many bytes a packet has, about.
func (d *Delivery) init(shared *Shared, owner Owner, reader *wire.Reader, conn sender, most int) {
	d.victim = contain.NewVictim()
	d.shared, d.owner, d.reader, d.conn, d.most = shared, owner, reader, conn, most
}

// Wake puts the connection into the queue. The session calls it when something is due.
func (d *Delivery) Wake() { d.shared.Queue.add(d) }

// Owner returns the owner of the subscriber.
func (d *Delivery) Owner() Owner { return d.owner }

// start delivers for the first time, in the caller's goroutine.
func (d *Delivery) start() {
	e := d.shared.Queue.pool.Encoder()
	if again, ok := d.run(e); ok {
		e.Release()
		if again {
			d.Wake()
		}
	}
}

// run calls deliver. After a panic it ends the connection and reports false: then the encoder must
// not be used any more.
func (d *Delivery) run(e *wire.Encoder) (again, ok bool) {
	defer d.shared.Panics.Recover("deliver", d.conn.abandon)
	d.victim.Strike("deliver")
	return d.deliver(e), true
}

// deliver sends what is due as far as that goes without waiting, and reports true if it is to be
// called again. It is called by one goroutine at a time: the session wakes the connection only
// when it rests, and a write that has to wait wakes the connection itself when it is done.
func (d *Delivery) deliver(e *wire.Encoder) (again bool) {
	if reason := d.reason.Load(); reason != nil {
		d.conn.finish(reason)
		return false
	}
	for frame := d.conn.control(); frame != nil; frame = d.conn.control() {
		if !d.send(wire.Packet{Frame: frame}, nil) {
			return false
		}
	}
	if len(d.unsent) == 0 {
		batch := d.session.Next()
		messages := d.owner.Messages(batch)
		if len(messages) == 0 { // the session rests: another goroutine may deliver already
			return batch.Nudged
		}
		if reason := d.reason.Load(); reason != nil { // perhaps the owner has ended it just now
			d.conn.finish(reason)
			return false
		}
		d.unsent = messages
		d.due = batch.Due.UnixMicro()
	}
	for len(d.unsent) > 0 {
		var packet wire.Packet
		packet, d.unsent = e.Encode(d.reader, d.unsent, d.most)
		if packet.Frame == nil {
			d.withheld = true
		} else if !d.send(packet, d.traced(e)) {
			return false
		}
	}
	return !d.session.Rest()
}

// traced returns those messages of the packet that was encoded last whose posts were sampled: nil,
// as a rule.
func (d *Delivery) traced(e *wire.Encoder) (some []*proto.Message) {
	if d.shared.Tracer == nil {
		return nil
	}
	for _, m := range e.Messages() {
		if m.Trace != nil {
			some = append(some, m)
		}
	}
	return some
}

// send sends a packet, some of whose messages may be traced, and reports whether to go on. While a
// connection takes no more, a goroutine waits for it.
func (d *Delivery) send(packet wire.Packet, traced []*proto.Message) (more bool) {
	wait := d.conn.send(packet)
	if wait == nil {
		return d.sent(packet, traced, nil)
	}
	d.waitingSince.Store(time.Now().UnixNano())
	d.shared.Conns.Start(func() {
		defer d.shared.Panics.Recover("write", d.conn.abandon)
		err := wait()
		d.waitingSince.Store(0)
		if d.sent(packet, traced, err) {
			d.Wake()
		}
	})
	return false
}

// sent releases a packet, counts it if it has been sent, and reports whether more can be sent.
func (d *Delivery) sent(packet wire.Packet, traced []*proto.Message, err error) (more bool) {
	if traced != nil {
		d.shared.Tracer.Written(traced, string(d.conn.kind()), err)
	}
	if err == nil && packet.Messages > 0 {
		now := time.Now()
		d.shared.Metrics.sent(d.conn.kind(), packet, now)
		d.written(packet, now)
	}
	d.shared.Queue.pool.Release(packet)
	return d.conn.sent(err)
}

// written reports a packet to the owner, if that is to be done.
func (d *Delivery) written(packet wire.Packet, now time.Time) {
	at := now.UnixMicro()
	if late := at-d.due > trail.Prompt; packet.Newest == nil || !late && (d.shared.Followed == nil || !d.shared.Followed()) {
		return
	}
	d.owner.Written(Written{packet.Oldest.ID, packet.Newest.ID, d.due, at})
}

// end ends the connection for a reason, and reports false if it had one already: the first one
// counts.
func (d *Delivery) end(reason *Reason) bool { return d.reason.CompareAndSwap(nil, reason) }

// stuck reports whether a write has waited for longer than writeTimeout.
func (d *Delivery) stuck(now time.Time) bool {
	since := d.waitingSince.Load()
	return since != 0 && now.UnixNano()-since > int64(writeTimeout)
}

// writeTimeout is how long one write may wait before the session ends. A reader that is merely
// slow never gets here: what it cannot take stays in the log.
const writeTimeout = 10 * time.Second

// wholeBatch as the size of a packet puts all messages of a batch into one.
const wholeBatch = math.MaxInt
