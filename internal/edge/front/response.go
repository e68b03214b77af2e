package front

import (
	"bufio"
	"bytes"
	"cmp"
	"net"
	"net/http"
	"strconv"
	"time"
)

// response is the [http.ResponseWriter] of one request. It keeps the answer until the handler has
// returned, and sends it with one write, because some clients read only once.
type response struct {
	conn   *Conn
	head   bool // the request's method is HEAD: no body is sent
	header http.Header
	status int  // 0 until it is set
	taken  bool // the request is held or the connection hijacked: finish sends nothing
	body   bytes.Buffer
}

func newResponse(c *Conn, r *http.Request) *response {
	return &response{conn: c, head: r.Method == http.MethodHead, header: make(http.Header)}
}

// Header implements [http.ResponseWriter].
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. The first call counts.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements [http.ResponseWriter].
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// finish sends the answer, unless the request is held or the connection hijacked.
func (w *response) finish() {
	c := w.conn
	c.mu.Lock()
	mine := c.phase == handling && !w.taken
	keep := c.keep && !c.server.leaving.Load() && w.header.Get("Connection") != "close"
	if mine {
		c.keep = keep
	}
	minor := c.minor
	c.mu.Unlock()
	if !mine {
		return
	}
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if w.head {
		w.header.Set("Content-Length", strconv.Itoa(len(body)))
		body = nil
	}
	var err error
	if wait := c.net.TryWrite(appendAnswer(nil, minor, w.status, w.header, body, !keep)); wait != nil {
		err = c.finish(wait)
	}
	c.answered(err)
}

// Hijack implements [http.Hijacker]. The connection is a *[netpoll.Conn] that nothing serves: the
// caller must serve or close it. If a status has been set, Hijack first sends the head of an
// answer. The buffers are small. The reader already holds what the client has sent ahead.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.conn
	c.mu.Lock()
	if c.phase != handling || w.taken {
		c.mu.Unlock()
		return nil, nil, http.ErrHijacked
	}
	w.taken = true
	minor := c.minor
	c.mu.Unlock()
	var err error
	if w.status != 0 {
		// While the connection is still ours, so that Cut ends a write that nobody reads.
		if wait := c.net.TryWrite(AppendHead(nil, minor, w.status, w.header)); wait != nil {
			err = c.finish(wait)
		}
	}
	c.mu.Lock()
	if c.phase == handling && (err != nil || c.cut) {
		c.closeLocked()
		return nil, nil, cmp.Or(err, net.ErrClosed)
	}
	if c.phase != handling {
		c.mu.Unlock()
		return nil, nil, net.ErrClosed
	}
	c.phase = owned
	ahead := bytes.Clone(c.pending)
	c.dropPendingLocked()
	c.mu.Unlock()
	c.server.config.Heartbeats.Remove(c, c.slot)
	var conn net.Conn = c.net
	reader := bufio.NewReaderSize(conn, max(hijackBuffer, len(ahead)))
	if len(ahead) > 0 { // from a client that did not wait for the answer
		reader.Reset(bytes.NewReader(ahead))
		_, _ = reader.Peek(len(ahead))
	}
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, hijackBuffer)), nil
}

// hijackBuffer is the size of each buffer of a hijacked connection, in bytes. Those of net/http
// would take 4 KiB each as long as the connection lives.
const hijackBuffer = 128

// appendAnswer appends a whole answer to b (RFC 9112, 4).
func appendAnswer(b []byte, minor int8, status int, header http.Header, body []byte, last bool) []byte {
	if last && minor > 0 {
		header.Set("Connection", "close")
	}
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if status != http.StatusNotModified && header.Get("Content-Length") == "" {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return append(AppendHead(b, minor, status, header), body...)
}

// AppendHead appends the head of an HTTP/1 answer to b, for a hijacker.
func AppendHead(b []byte, minor int8, status int, header http.Header) []byte {
	var out bytes.Buffer
	out.Write(b)
	out.WriteString("HTTP/1.")
	out.WriteByte('0' + byte(minor))
	out.WriteByte(' ')
	out.WriteString(statusLine(status))
	out.WriteString("\r\n")
	_ = header.Write(&out) // a bytes.Buffer takes all
	out.WriteString("\r\n")
	return out.Bytes()
}

// statusLine returns a status as a status line has it, such as "404 Not Found".
func statusLine(status int) string { return strconv.Itoa(status) + " " + http.StatusText(status) }
