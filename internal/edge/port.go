package edge

import (
	"context"
	"errors"
	"net"
	"time"
)

// Bounds of the pause after a temporary error of a listener, as net/http has them.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections and serves them until the listener is closed or broken, and returns its
// error, which is never nil. After a temporary error, such as EMFILE, it pauses, longer each time.
func (e *Edge) Serve(listener net.Listener) error {
	var pause time.Duration
	for {
		conn, err := listener.Accept()
		if err == nil {
			pause = 0
			e.accept(conn)
			continue
		}
		var perhaps interface{ Temporary() bool }
		if !errors.As(err, &perhaps) || !perhaps.Temporary() {
			return err
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		e.logger.Warn("accept failed", "error", err, "retry", pause.String())
		time.Sleep(pause)
	}
}

// Shutdown returns nil at once: Drain has asked all connections to go, and the end of Run cuts
// those that are left.
func (e *Edge) Shutdown(context.Context) error { return nil }

// Close cuts all connections and returns nil.
func (e *Edge) Close() error {
	for _, m := range e.shared.Heartbeats.Members() {
		e.shared.Heartbeats.Call(m, m.Cut)
	}
	return nil
}
