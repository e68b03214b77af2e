package transport

import (
	"net"
	"sync/atomic"
	"time"

	"pushgate/internal/frame"
	"pushgate/internal/netpoll"
)

// refusal is a WebSocket without a session, which is going to be closed with a reason.
type refusal struct {
	shared *Shared
	net    *netpoll.Conn
	slot   int
	reason *Reason
	done   func()
	timer  *time.Timer // of the pause, and then of the client's answer
	said   atomic.Bool
}

// Refuse closes a WebSocket, whose handshake is done, with a reason, after a pause. It owns conn,
// and closes it when the client has answered, or some seconds after the close frame. It returns at
// once, and calls done when the pause is over or the client has gone.
func Refuse(shared *Shared, conn net.Conn, reason *Reason, pause time.Duration, done func()) {
	r := &refusal{shared: shared, net: shared.Conns.Hold(conn), slot: netpoll.RandomSlot(), reason: reason, done: done}
	r.timer = time.AfterFunc(time.Hour, r.sendClose)
	r.timer.Reset(pause)
	shared.Heartbeats.Add(r, r.slot)
	r.net.Serve(r.read)
}

// sendClose sends the close frame. A second call closes the connection.
func (r *refusal) sendClose() {
	if r.said.Swap(true) {
		r.net.Close()
		return
	}
	r.done()
	r.timer.Reset(closeTimeout)
	payload := frame.ClosePayload(uint16(r.reason.Code), r.reason.Text)
	if _, err := r.net.Write(controlFrame(frame.OpClose, payload)); err != nil {
		r.net.Close()
	}
}

// read discards what the client sends, until it answers the close frame or hangs up.
func (r *refusal) read() (rest bool) {
	var b [64]byte
	n, err := r.net.Read(b[:])
	if answered := n > 0 && b[0] == 0x80|frame.OpClose && r.said.Load(); err == nil && !answered {
		return true
	}
	r.timer.Stop()
	if !r.said.Swap(true) {
		r.done()
	}
	r.net.Close()
	r.shared.Heartbeats.Remove(r, r.slot)
	r.shared.Metrics.Ended(r.reason)
	return false
}

// Tick implements [netpoll.Member].
func (r *refusal) Tick(time.Time) {}

// Leave implements [netpoll.Member]. It ends the pause.
func (r *refusal) Leave() { r.shared.Conns.Start(r.sendClose) }

// Cut implements [netpoll.Member].
func (r *refusal) Cut() { r.net.Close() }
