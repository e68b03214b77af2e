package front

import (
	"net"
	"net/http"
)

// Hold has a request answered later, by [Conn.Answer]. It is called by the request's handler, which
// writes nothing and may return before or after the answer. It returns nil if w is no response of a
// [Server], or the request is held or hijacked already.
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

// Answer answers a held request as far as that goes without waiting, and returns nil if the answer is
// out. Else it returns what sends the rest, which must be called, may block for up to [WriteTimeout],
// and returns the error of the writing. It is called once for each Hold.
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
