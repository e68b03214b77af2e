package edge

import (
	"bufio"
	"bytes"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"pushgate/internal/netpoll"
)

// handshake does the handshake of a WebSocket and returns its connection, which the caller owns. It
// returns nil if the handshake has failed: then the client has been answered, or has gone.
func handshake(w http.ResponseWriter, r *http.Request) net.Conn {
	u := &upgrade{ResponseWriter: w}
	conn, err := websocket.Accept(u, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin, which has been checked already
	})
	if err != nil {
		if u.conn != nil {
			u.conn.Close()
		}
		return nil
	}
	conn.CloseNow() // frees the library's buffers, which would take most of the memory here
	return u.conn
}

// upgrade is the ResponseWriter of a handshake. The library gets the connection from it, but cannot
// close it.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn // nil until it is hijacked
}

// Hijack implements [http.Hijacker].
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = conn
	// A client may send frames before it has the answer.
	if ahead, _ := buffered.Reader.Peek(buffered.Reader.Buffered()); len(ahead) > 0 {
		conn.(*netpoll.Conn).Unread(bytes.Clone(ahead))
	}
	return lentConn{conn}, buffered, nil
}

// lentConn is a connection that its holder does not close.
type lentConn struct{ net.Conn }

// Close implements [net.Conn].
func (lentConn) Close() error { return nil }
