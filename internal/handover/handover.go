// Package handover lets a process be succeeded by another one while its connections stay: the successor gets its listening sockets and, one
// after another, its WebSockets, over a unix socket.
//
// At each moment one process reads and writes a connection. The predecessor stops doing so, sends the descriptor with a [Record], and waits
// for a word. The successor says that it has taken the session before it touches the connection. If it dies before that, the
// predecessor goes on as if nothing had been. If it is alive and says nothing, nobody can tell whose the session is, so it is nobody's: the
// predecessor closes its descriptor, and the successor, finding the socket closed, closes the other one.
package handover

import (
	"context"
	"errors"
	"net"
)

// ErrStays says that the predecessor goes on, so that this process is of no use.
var ErrStays = errors.New("the predecessor stays")

// Give gives one session at rest to the successor, with its connection, which the caller does not use meanwhile. If it is taken, the caller
// must close the connection, and its peer will not notice; else it goes on using it. An error says that no more sessions can be given.
// It may be called concurrently.
type Give func(r Record, conn net.Conn) (taken bool, err error)

// Edge is who has the sessions. Its methods may be called concurrently.
type Edge interface {
	// Ready says why sessions cannot be served now; nil if they can.
	Ready() error
	// Adopt serves a session of the predecessor from the moment on at which confirm, which it calls once, has returned nil. On an
	// error it has not touched conn.
	Adopt(ctx context.Context, r Record, conn net.Conn, confirm func() error) error
	// HandOver gives the sessions away that can be given, and returns when there are no more of them. After that it gives away
	// whatever it would close because it leaves. On an error it serves all sessions that were not taken as before.
	HandOver(ctx context.Context, give Give) error
}
