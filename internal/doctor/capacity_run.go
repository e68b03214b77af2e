package doctor

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"pushgate/internal/store"
)

var capacityIDs = []string{"capacity.measured", "capacity.headroom"}

// capacity measures how many users the installation holds. It returns nil if nothing could be
// measured at all.
func (e *exam) capacity(ctx context.Context, s *sheet) *Capacity {
	if e.portals == nil || e.faults != nil {
		s.unknown(noSettings, "", capacityIDs...)
		return nil
	}
	if len(e.processes) == 0 {
		s.unknown(noProcesses, "", capacityIDs...)
		return nil
	}
	bases := e.bases()
	if len(bases) == 0 {
		s.unknown(noAddress, "", capacityIDs...)
		return nil
	}
	var st *store.Store
	var nodes []store.Node
	if client, err := store.Open(e.settings.RedisURL); err == nil {
		defer client.Close()
		st = store.New(client, store.Config{})
		nodes, _ = st.Inspect(ctx)
	}
	m, err := e.measure(ctx, e.Measure, bases, st)
	c := m.capacity(nodes)
	saw := fmt.Sprintf("%d WebSockets, %s", c.Costs.Opened, e.where(bases))
	switch {
	case err != nil:
		s.add("capacity.measured", Warning, err.Error())
	case m.stop != stopNot:
		s.add("capacity.measured", Warning, saw, string(m.stop)+": "+m.stopSaw)
	default:
		s.add("capacity.measured", OK, saw)
	}
	if m.many() {
		s.add("capacity.measured", Warning, fmt.Sprintf("pushgate_connections: +%.0f", m.left))
	}
	if len(c.Limits) > 0 {
		first := c.Limits[0]
		s.check("capacity.headroom", float64(c.Users) > crowdedNow*float64(first.Users), Warning, fmt.Sprintf("%d of %d", c.Users, first.Users))
	}
	return c
}

// bases returns where to connect: at the portal's address, or else at the edges that nginx knows.
func (e *exam) bases() (all []*url.URL) {
	if e.Portal != "" {
		base, _ := url.Parse(e.Portal) // Run has checked it
		return []*url.URL{base}
	}
	if e.nginx == nil {
		return nil
	}
	for _, address := range e.nginx.addressesOf(e.nginx.routes.subscribers()) {
		if !strings.HasPrefix(address, "unix:") {
			all = append(all, &url.URL{Scheme: "http", Host: address})
		}
	}
	return all
}

// where names them.
func (e *exam) where(bases []*url.URL) string {
	var hosts []string
	for _, base := range bases {
		hosts = append(hosts, base.Scheme+"://"+base.Host)
	}
	return strings.Join(hosts, " ")
}
