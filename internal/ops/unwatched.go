package ops

import "net"

// unwatched gives connections that net/http does not watch while a handler works. Its watch, so that a request's context ends when the client
// hangs up, is a read of a single byte in a goroutine of its own, which must be called back by a deadline before the answer can end: a failed system
// call, three changes of deadlines and two turns of the scheduler for each request.
type unwatched struct{ net.Listener }

// Accept implements [net.Listener].
func (l unwatched) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unwatchedConn{Conn: c}, nil
}

// unwatchedConn lets every other read of a single byte read nothing. A watch ends with that; whoever really wants the byte reads again.
type unwatchedConn struct {
	net.Conn
	passed bool // the last read was let pass; belongs to who reads, which net/http lets one goroutine do at a time
}

// Read implements [net.Conn].
func (c *unwatchedConn) Read(b []byte) (int, error) {
	if c.passed = len(b) == 1 && !c.passed; c.passed {
		return 0, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite is what net/http looks for, so that a client can read why it is refused while it still sends.
func (c *unwatchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
