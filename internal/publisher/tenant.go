package publisher

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/intake"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/tally"
)

// tenant is a portal that this process serves. It is immutable.
type tenant struct {
	*portal.Portal
	publisher *Publisher
	log       measured
	batches   *command.Executor
	tally     *tally.Tally
	unmatched *unmatched
}

// tenants is the set of portals that are served at a time. It is immutable.
type tenants struct {
	table *portal.Table
	of    map[*portal.Portal]*tenant
}

// SetPortals replaces the portals that are served by those of a table. It may be called while
// requests are served: those that have begun keep the portals that they began with.
func (p *Publisher) SetPortals(table *portal.Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &tenants{table: table, of: make(map[*portal.Portal]*tenant)}
	for _, served := range table.All() {
		name := served.Name()
		t := &tenant{Portal: served, publisher: p, log: measured{p.logs(name), p.gates.Of(name, served.Limits), p}, tally: p.config.Book.Of(name),
			unmatched: newUnmatched()}
		told := view{stats: p.stats}
		if table.Shared() { // a portal must not see the others
			told.portal = name
		}
		t.batches = command.New(command.Config{Signer: served.Signer, Rules: p.config.Rules, MaxPayload: served.Limits.Payload,
			MaxMessages: served.Limits.Messages, MaxChannels: served.Limits.Channels, Tally: t.tally}, t.log, told)
		next.of[served] = t
	}
	p.tenants.Store(next)
}

// tenant returns the portal that a request names, which must exist.
func (p *Publisher) tenant(q query) (*tenant, *refusal) {
	t := p.tenants.Load()
	if found := t.of[t.table.Find(q.client)]; found != nil {
		return found, nil
	}
	return nil, refusalOf[proto.ErrNoClientID]
}

// tenantOfCall returns the portal of a post of version 5. The post names it by host id, and among
// many portals by client id, too.
func (p *Publisher) tenantOfCall(q query) (*tenant, *refusal) {
	t := p.tenants.Load()
	found := t.of[t.table.Find(q.client)]
	if q.client == "" && t.table.Shared() {
		found = t.of[t.table.FindHost(q.host)]
	}
	if found == nil || found.HostID != "" && found.HostID != q.host {
		return nil, wrongHost
	}
	return found, nil
}

// trusts reports whether a request needs no signature. Among many portals every request needs one:
// its address does not say which portal sent it. So does one that a page made.
func (t *tenant) trusts(r *http.Request) bool { return t.allows(r) && !byPage(r) }

// allows reports whether a request comes from a network from which no signature is needed.
func (t *tenant) allows(r *http.Request) bool {
	return t.ClientID == "" && !t.publisher.config.Signed && t.publisher.allowed(r)
}

// wrongSignature returns the refusal of a request whose signature is wrong.
func (t *tenant) wrongSignature(q query) *refusal {
	if q.binary || t.ClientID != "" {
		return refusalOf[proto.ErrRequestSignature]
	}
	return forbidden
}

// unsigned returns the refusal of a request that has no signature and needs one.
func (t *tenant) unsigned(r *http.Request, q query) *refusal {
	if t.allows(r) { // then a page made it
		return crossSite
	}
	return t.wrongSignature(query{client: q.client})
}

// usualWindow bounds the distance from now of a signature's time, where a time is optional.
const usualWindow = 5 * time.Minute

// authenticate returns nil for a signed request: signed in the portals' own way, as plain reports,
// or with a time over its channels and body. Else it returns no, or, for a valid signature with a
// wrong time, the refusal with the same answer.
func (t *tenant) authenticate(q query, plain func() bool, body []byte, no *refusal) *refusal {
	window := t.publisher.config.Window
	if q.time == "" {
		switch {
		case !plain():
			return no
		case window != 0:
			return no.stale()
		default:
			return nil
		}
	}
	seconds, err := strconv.ParseInt(q.time, 10, 64)
	if err != nil || !t.Signer.VerifyPost(sign.Post{Time: seconds, Channels: q.channels, Body: body}, q.signature) {
		return no
	}
	if time.Since(time.Unix(seconds, 0)).Abs() > cmp.Or(window, usualWindow) {
		return no.stale()
	}
	return nil
}

// measured is a log that bounds and counts what is appended.
type measured struct {
	log  Log
	gate *intake.Gate
	*Publisher
}

// Append implements [Log]. Its error may be [intake.ErrBusy].
func (m measured) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	if !m.gate.Enter(msgs) {
		return nil, intake.ErrBusy
	}
	defer m.gate.Leave(msgs)
	setKeys(ctx, msgs)
	start := time.Now()
	receipts, err := m.log.Append(ctx, msgs...)
	m.metrics.seconds.Observe(time.Since(start).Seconds())
	m.note(err)
	if err != nil {
		return nil, err
	}
	noteStored(ctx, msgs, receipts)
	for i, receipt := range receipts {
		m.metrics.closed.Add(float64(len(receipt.Closed)))
		switch {
		case receipt.Repeated:
			m.metrics.repeated.Inc()
		case !receipt.ID.IsZero():
			m.metrics.published.Inc()
			m.metrics.bytes.Add(float64(msgs[i].Size()))
		}
	}
	return receipts, nil
}

// LastSeen implements [Log].
func (m measured) LastSeen(ctx context.Context, users []int64) ([]int, []time.Time, error) {
	sessions, times, err := m.log.LastSeen(ctx, users)
	m.note(err)
	return sessions, times, err
}

// SetSeen implements [Log].
func (m measured) SetSeen(ctx context.Context, seen ...proto.Seen) error {
	err := m.log.SetSeen(ctx, seen...)
	m.note(err)
	if err == nil {
		noteSeen(ctx)
	}
	return err
}

// Online implements [Log].
func (m measured) Online(ctx context.Context, channels []channel.ID) ([]int, error) {
	sessions, err := m.log.Online(ctx, channels)
	if ctx.Err() != context.Canceled { // else the client has gone
		m.note(err)
	}
	return sessions, err
}
