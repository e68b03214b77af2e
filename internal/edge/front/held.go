package front

import (
	"net"
	"net/http"
)

// Hold makes a request one that is answered later, by [Conn.Answer]. The handler of the request
// calls it and writes nothing; it may return before or after the answer. Hold returns nil if w is
// not the response of a [Server], or if the request is held or hijacked already.
func Hold(w http.ResponseWriter, holder Holder) *Conn {
	for {
		switch inner := w.(type) {
		case *response:
			c := inner.conn.hold(holder)
			inner.taken = inner.taken || c != nil
			return c
		case interface{ Unwrap() http.ResponseWriter }: // of a middleware
			w = inner.Unwrap()
		default:
			return nil
		}
	}
}

func (c *Conn) hold(holder Holder) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != handling {
		return nil
	}
	c.phase, c.holder = held, holder
	return c
}

// Answer answers a held request, and is called once for each [Hold]. If the whole answer could be
// written without waiting, it returns nil. Else the caller must call the returned function, which
// writes the rest, may block for up to [WriteTimeout], and returns the error of writing:
// [net.ErrClosed] if the client has hung up before. Answer changes header, and does not keep body.
func (c *Conn) Answer(status int, header http.Header, body []byte) (wait func() error) {
	c.mu.Lock()
	if c.phase != held {
		c.mu.Unlock()
		return func() error { return net.ErrClosed }
	}
	c.phase = handling // what the client sends from now on is the next request's
	c.keep = c.keep && !c.server.leaving.Load()
	last, minor := !c.keep, c.minor
	c.mu.Unlock()
	rest := c.net.TryWrite(appendAnswer(nil, minor, status, header, body, last))
	if rest == nil {
		c.answered(nil)
		return nil
	}
	return func() error {
		err := c.finish(rest)
		c.answered(err)
		return err
	}
}
