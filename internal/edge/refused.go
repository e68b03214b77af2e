package edge

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/proto"
)

// Bounds of the pace at which wrong channel ids are refused.
const (
	firstRefusalPause = time.Second      // of the second refusal; each later one doubles it
	mostRefusalPause  = 30 * time.Second // what it grows to
	refusalMemory     = time.Minute      // how long a refusal counts, at least
	rememberedRefused = 4096             // refusals that count at a time, at least
	mostPausing       = 1024             // connections that are held open for a pause
)

// pacer says how long a refusal waits. A client that comes back at once with the ids that were just refused (the oldest browsers
// do, for ever) is held back by its own connection. Its memory is bounded. Its methods may be called
// concurrently.
type pacer struct {
	seed maphash.Seed // immutable

	mu      sync.Mutex
	clients generations[refusals]
	pausing int
}

// refusals is how often one client was refused.
type refusals struct {
	count int
	last  time.Time
}

func newPacer() *pacer {
	return &pacer{seed: maphash.MakeSeed(), clients: newGenerations[refusals](rememberedRefused, refusalMemory)}
}

// pause gives how long the refusal of a client, by what it said and where it is, is to wait. A pause that is not 0 is ended with
// [pacer.resume].
func (p *pacer) pause(said, address string, now time.Time) time.Duration {
	key := maphash.String(p.seed, said+"\x00"+address)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.clients.get(key, now)
	if now.Sub(r.last) > refusalMemory {
		r.count = 0
	}
	pause := time.Duration(0)
	if r.count > 0 && p.pausing < mostPausing {
		pause = min(firstRefusalPause<<min(r.count-1, 10), mostRefusalPause)
		p.pausing++
	}
	r.count++
	r.last = now.Add(pause) // that is when it is told
	p.clients.put(key, r)
	return pause
}

func (p *pacer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pausing--
}

// refusedConn is a WebSocket that is going to be told that its channel ids are wrong.
type refusedConn struct {
	conn *websocket.Conn
	now  context.CancelFunc // ends the pause
}

// listen ends the pause if the client goes, and the connection with it. Else it returns when the connection is closed.
func (c *refusedConn) listen() {
	for {
		_, message, err := c.conn.Reader(context.Background())
		if err != nil {
			c.now()
			return
		}
		io.Copy(io.Discard, message)
	}
}

func (c *refusedConn) visit(time.Time) {}
func (c *refusedConn) leave()          { c.now() }
func (c *refusedConn) cut() {
	c.now()
	c.conn.CloseNow()
}

// refuseWebSocket says 4010 after the upgrade: at a refused handshake a browser would only try again with the same ids. Whoever has
// been told before is told later.
func (e *Edge) refuseWebSocket(w http.ResponseWriter, r *http.Request) {
	e.metrics.refused.Inc()
	conn, err := websocket.Accept(&upgrade{ResponseWriter: w}, r, e.acceptOptions())
	if err != nil {
		return
	}
	pause := e.pacer.pause(r.URL.Query().Get("CHANNEL_ID")+r.URL.Query().Get("token"), clientAddress(r), time.Now())
	ctx, now := context.WithCancel(context.Background())
	refused := &refusedConn{conn, now}
	slot := e.wheel.add(refused)
	e.ceiling.apart.Add(1)
	e.connections.Go(func() {
		defer e.ceiling.apart.Add(-1)
		defer e.wheel.remove(refused, slot)
		defer now()
		if pause > 0 {
			e.metrics.paused.Inc()
			e.connections.Go(refused.listen)
			wait(ctx, pause)
			e.pacer.resume()
		}
		e.metrics.ends[ReasonWrongChannel].Inc()
		conn.Close(ReasonWrongChannel.Code, ReasonWrongChannel.Text)
	})
}

// refuseUpgrade refuses a handshake as the original does where there is nobody to speak for: with a status line, a blank line and the text, and no
// header at all. A browser takes it for a lost connection; the mobile client reads the status.
func (e *Edge) refuseUpgrade(w http.ResponseWriter, refusal *proto.Error) {
	e.metrics.refused.Inc()
	conn, _, err := hijack(w)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n\r\n%s", refusal.Status(), http.StatusText(refusal.Status()), refusal.Text)
}

// clientAddress gives where a request comes from, as far as the nearest proxy knows. Whoever forges it is paced as somebody else.
func clientAddress(r *http.Request) string {
	if values := r.Header["X-Forwarded-For"]; len(values) > 0 {
		last := values[len(values)-1]
		return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
