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
// returns nil if the client has been answered otherwise, or has gone.
func handshake(w http.ResponseWriter, r *http.Request) net.Conn {
	u := &upgrade{ResponseWriter: w}
	conn, err := websocket.Accept(u, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin, which has been looked at
	})
	if err != nil {
		if u.conn != nil {
			u.conn.Close()
		}
		return nil
	}
	conn.CloseNow() // the library has done its work, and would hold more than all else here
	return u.conn
}

// upgrade is what the library does a handshake through. It lends the library the connection.
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
	if ahead, _ := buffered.Reader.Peek(buffered.Reader.Buffered()); len(ahead) > 0 { // the client did not wait for the answer
		conn.(*netpoll.Conn).Unread(bytes.Clone(ahead))
	}
	return lentConn{conn}, buffered, nil
}

// lentConn is a connection that its holder does not close.
type lentConn struct{ net.Conn }

// Close implements [net.Conn].
func (lentConn) Close() error { return nil }
