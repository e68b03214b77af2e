// Package handover passes the listening sockets of a process and then its WebSockets, one after
// another, to the process that replaces it, over a unix socket.
//
// At each moment, only one process reads and writes a connection. The predecessor stops using it,
// sends the descriptor with a [Record], and waits for an answer. The successor confirms that it
// takes the session before it uses the connection. If the successor dies before that, the
// predecessor goes on using the connection. If the successor lives but does not answer in time,
// nobody knows which process has the session, so both give it up: the predecessor closes its
// descriptor, and the successor closes the other one when it finds the socket closed.
package handover

import (
	"context"
	"errors"
	"net"
)

// ErrStays means that the predecessor does not leave, so this process has nothing to do.
var ErrStays = errors.New("predecessor stays")

// Give passes one session at rest and its connection to the successor. The caller must not use the
// connection meanwhile. If the session is taken, the caller must close the connection, which the
// client does not notice; else it goes on using it. After an error no more sessions can be passed.
// Give may be called concurrently.
type Give func(r Record, conn net.Conn) (taken bool, err error)

// Edge has the sessions of a process. Its methods may be called concurrently.
type Edge interface {
	// Ready returns why sessions cannot be served now, or nil.
	Ready() error
	// Adopt takes a session of the predecessor. It calls confirm once, and serves the session if
	// confirm returns nil. If Adopt returns an error, it has not used conn.
	Adopt(ctx context.Context, r Record, conn net.Conn, confirm func() error) error
	// HandOver calls give for each session that can be passed on, and returns when there are no
	// more of them. From then on, the edge calls give for each connection that it would otherwise
	// close because it leaves. If HandOver returns an error, the edge goes on serving the sessions
	// that were not taken.
	HandOver(ctx context.Context, give Give) error
}
