package publisher

import (
	"pushgate/internal/command"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
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
	notices   notices
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
		t := &tenant{Portal: served, publisher: p, log: measured{name, p.logs(name), p.gates.Of(name, served.Limits), p}, tally: p.config.Book.Of(name),
			unmatched: newUnmatched(), notices: newNotices()}
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
