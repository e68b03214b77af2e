package publisher

import (
	"context"
	"encoding/json"
	"net/http"

	"pushgate/internal/proto"
)

// processes answers with the statistics of all processes, or one portal's part of them. It is for
// operators, who have nothing to sign: their address decides.
func (p *Publisher) processes(w http.ResponseWriter, r *http.Request) {
	if !p.allowed(r) {
		p.logRefused(p.notices, r, forbidden, allowRemedy)
		p.refuse(w, forbidden)
		return
	}
	if byPage(r) {
		p.logRefused(p.notices, r, crossSite, pageRemedy)
		p.refuse(w, crossSite)
		return
	}
	told := view{stats: p.stats}
	if q := parseQuery(r.URL.RawQuery); q.client != "" && p.tenants.Load().table.Shared() {
		t, no := p.tenant(q)
		if no != nil {
			p.refuse(w, no)
			return
		}
		told.portal = t.Name()
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.config.Timeout)
	defer cancel()
	processes, err := told.Processes(ctx)
	if err != nil {
		p.refuse(w, unavailable)
		return
	}
	text, err := json.Marshal(processes)
	if err != nil {
		panic(err) // numbers and strings always encode
	}
	answer(w, http.StatusOK, string(text))
}

// view is the part of the statistics that the asker may see.
type view struct {
	stats  Stats
	portal string // whose numbers it shows; empty: the sums of all
}

// Processes implements [command.Stats]. It never returns nil without an error.
func (v view) Processes(ctx context.Context) ([]proto.ProcessStats, error) {
	all, err := v.stats.Processes(ctx)
	if err != nil {
		return nil, err
	}
	told := make([]proto.ProcessStats, len(all))
	for i, process := range all {
		told[i] = process.ProcessStats
		if v.portal != "" {
			told[i] = process.Of(v.portal)
		}
	}
	return told, nil
}
