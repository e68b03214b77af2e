package edge

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/edge/front"
	"pushgate/internal/proto"
	"pushgate/internal/transport"
)

// Bounds of the pace at which wrong channel ids are refused.
const (
	firstRefusalPause = time.Second      // of the second refusal; each later one doubles it
	mostRefusalPause  = 30 * time.Second // longest pause
	refusalMemory     = time.Minute      // how long a refusal counts, at least
	rememberedRefused = 4096             // refusals that count at a time, at least
	mostPausing       = 1024             // connections that are held open for a pause
)

// pacer decides how long a refusal waits. The oldest browser clients come back at once with the ids
// that were just refused, for ever: the pause slows them. Its memory is bounded. Its methods may be
// called concurrently.
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

// pause returns how long to wait before a client is refused. The client is known by what it said
// and its address. A pause that is not 0 is ended with [pacer.resume].
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
	r.last = now.Add(pause) // when the client gets it
	p.clients.put(key, r)
	return pause
}

func (p *pacer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pausing--
}

// countRefused counts a client that is refused and will call its portal; nil is one that is not
// served.
func (e *Edge) countRefused(portal *serving) {
	e.metrics.refused.Inc()
	e.metrics.portalCalls.add(portal, callRefused, 1)
}

// refuseWebSocket completes the handshake and then closes with 4010: after a refused handshake a
// browser would only try again with the same ids. A client that was refused before waits for it.
func (e *Edge) refuseWebSocket(w http.ResponseWriter, r *http.Request, portal *serving) {
	e.countRefused(portal)
	conn := handshake(w, r)
	if conn == nil {
		return
	}
	pause := e.pacer.pause(saidBy(r), clientAddress(r), time.Now())
	done := func() {}
	if pause > 0 {
		e.metrics.paused.Inc()
		done = e.pacer.resume
	}
	transport.Refuse(e.shared, conn, transport.ReasonWrongChannel, pause, done)
}

// saidBy returns the parts of a request that can be wrong.
func saidBy(r *http.Request) string {
	return r.URL.Query().Get("CHANNEL_ID") + r.URL.Query().Get("token")
}

// refusePoll answers with a refusal. A client whose ids were refused before waits for it, as over
// WebSocket.
func (e *Edge) refusePoll(w http.ResponseWriter, r *http.Request, portal *serving, refusal *proto.Error) {
	e.countRefused(portal)
	pause := time.Duration(0)
	if refusal != proto.ErrWrongClientID {
		pause = e.pacer.pause(saidBy(r), clientAddress(r), time.Now())
	}
	if pause == 0 {
		refuse(w, refusal)
		return
	}
	e.metrics.paused.Inc()
	p := &pausedRefusal{edge: e, refusal: refusal}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = front.Hold(w, p)
	p.timer = time.AfterFunc(pause, p.answer)
}

// pausedRefusal is a poll or a stream that is refused after a pause. It holds no goroutine.
type pausedRefusal struct {
	edge    *Edge
	refusal *proto.Error
	over    atomic.Bool

	// Set under mu, because Leave may be called before Hold has returned.
	mu    sync.Mutex
	held  *front.Conn
	timer *time.Timer // stopped when the pause ends early: it would keep the connection in memory
}

// answer ends the pause, once.
func (p *pausedRefusal) answer() {
	if p.over.Swap(true) {
		return
	}
	p.edge.pacer.resume()
	p.mu.Lock()
	held := p.held
	p.timer.Stop()
	p.mu.Unlock()
	recorder := refusalHeader()
	if wait := held.Answer(p.refusal.Status(), recorder, []byte(p.refusal.Text)); wait != nil {
		_ = wait() // the front closes the connection
	}
}

// Gone implements [front.Holder].
func (p *pausedRefusal) Gone() {
	if p.over.Swap(true) {
		return
	}
	p.edge.pacer.resume()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.held = nil // the runtime may hold a stopped timer for a while
}

// Leave implements [front.Holder].
func (p *pausedRefusal) Leave() { p.edge.shared.Conns.Start(p.answer) }

// refuseUpgrade refuses a handshake of an unknown portal as the original does: with a status line,
// a blank line and the text, without a header. A browser takes it for a lost connection; the mobile
// client reads the status.
func (e *Edge) refuseUpgrade(w http.ResponseWriter, refusal *proto.Error) {
	e.countRefused(nil)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n\r\n%s", refusal.Status(), http.StatusText(refusal.Status()), refusal.Text)
}

// clientAddress returns the address of a client as the nearest proxy has it. A client that forges
// it is only paced as another one.
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
