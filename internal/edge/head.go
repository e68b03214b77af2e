package edge

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync"

	"pushgate/internal/urlpath"
)

// longestHead is how many bytes the head of a request may have that is served without net/http.
const longestHead = 8 << 10

// head reads the head of a request. Such are kept in a pool, because a connection at rest has none.
type head struct {
	bytes    [longestHead]byte
	n        int // of bytes, have been read
	raw      bytes.Reader
	buffered *bufio.Reader // of raw
}

var heads = sync.Pool{New: func() any {
	h := new(head)
	h.buffered = bufio.NewReaderSize(&h.raw, longestHead)
	return h
}}

// read reads what there is, and blocks until there is something.
func (h *head) read(conn net.Conn) (err error) {
	h.n, err = conn.Read(h.bytes[:])
	return err
}

// copied gives a copy of what was read.
func (h *head) copied() []byte { return bytes.Clone(h.bytes[:h.n]) }

// request gives the request that was read, if it is for a subscription, has come whole, with nothing behind it, and is written as known clients
// and proxies do; nil if it is for net/http to look at.
func (h *head) request() *http.Request {
	text := h.bytes[:h.n]
	if !bytes.HasPrefix(text, []byte("GET /")) || !bytes.HasSuffix(text, []byte("\r\n\r\n")) || bytes.ContainsFunc(text, unusual) {
		return nil
	}
	h.raw.Reset(text)
	h.buffered.Reset(&h.raw)
	r, err := http.ReadRequest(h.buffered)
	switch {
	case err != nil, h.buffered.Buffered() > 0, // more than one
		!r.ProtoAtLeast(1, 1), r.Host == "", r.ContentLength != 0, r.Header["Expect"] != nil,
		r.URL.RawPath != "", urlpath.Ambiguous(r.URL), !subscribes(r.URL.Path):
		return nil
	}
	for name := range r.Header {
		if strings.ContainsFunc(name, notInName) {
			return nil
		}
	}
	return r
}

// notInName reports whether a character has no place in the name of a header (RFC 9110, 5.6.2).
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// unusual reports whether a character has no place in a head. net/http knows where it may be after all.
func unusual(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r > '~' }

// subscribes reports whether a path is one for subscriptions by polls and WebSockets.
func subscribes(path string) bool {
	for _, route := range subscribePaths {
		if urlpath.Within(path, route) {
			return true
		}
	}
	return false
}
