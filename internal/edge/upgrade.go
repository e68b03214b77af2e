package edge

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// upgrade is what a WebSocket's handshake answers through. It hands the library a connection with small buffers: those of net/http are 4 KiB
// each, for as long as the connection lives.
type upgrade struct {
	http.ResponseWriter
	edge *Edge
	lend bool     // the library is to do the handshake and no more: it must not close the connection
	conn net.Conn // nil until it is hijacked; then whoever made the upgrade owns it
}

const upgradeBuffer = 128 // bytes; the longest control frame is 127

// Hijack implements [http.Hijacker].
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, early, err := u.edge.hijack(u.ResponseWriter)
	if err != nil {
		return nil, nil, err
	}
	u.conn = conn
	if len(early) > 0 { // a client that did not wait for the answer
		u.conn = &earlyConn{conn, io.MultiReader(bytes.NewReader(early), conn)}
	}
	given := u.conn
	if u.lend {
		given = lentConn{given}
	}
	return given, bufio.NewReadWriter(bufio.NewReaderSize(given, upgradeBuffer), bufio.NewWriterSize(given, upgradeBuffer)), nil
}

// earlyConn is a connection of which something has been read too soon.
type earlyConn struct {
	net.Conn
	reader io.Reader
}

// Read implements [net.Conn].
func (c *earlyConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// lentConn is a connection that its holder does not close.
type lentConn struct{ net.Conn }

// Close implements [net.Conn].
func (lentConn) Close() error { return nil }
