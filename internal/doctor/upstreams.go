package doctor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	dialTimeout  = 3 * time.Second
	maxUpstreams = 500
)

// upstreams checks the upstreams of the locations, and whether their servers answer.
func (e *exam) upstreams(ctx context.Context, s *sheet) {
	s.add("nginx.iphash", OK)
	for _, locations := range [][]*block{e.nginx.routes.subscribers(), e.nginx.routes.publishers()} {
		for _, u := range e.nginx.pools(locations) {
			for _, d := range slices.Concat(u.all("ip_hash"), u.all("hash")) {
				if d.name == "ip_hash" || strings.Contains(d.arg(0), "$remote_addr") {
					s.add("nginx.iphash", Warning, d.String())
				}
			}
		}
		e.answering(ctx, s, e.nginx.addressesOf(locations))
	}
	s.unknown(noUpstream, "", "nginx.upstreams")
}

// answering checks whether servers answer, any of which does for a request.
func (e *exam) answering(ctx context.Context, s *sheet, addresses []string) {
	errs := make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { errs[i] = alive(ctx, address) })
	}
	asking.Wait()
	state := Warning
	if !slices.Contains(errs, nil) {
		state = Error
	}
	for i, address := range addresses {
		if errs[i] != nil {
			s.add("nginx.upstreams", state, address+": "+errs[i].Error())
		} else {
			s.add("nginx.upstreams", OK, address)
		}
	}
}

// alive returns why a server does not answer requests; nil if it does, whatever it answers.
func alive(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	client := plainClient(address)
	defer client.CloseIdleConnections()
	_, _, err := fetch(ctx, client, "http://localhost/", maxReady)
	return err
}

// pools returns the upstream blocks to which locations pass requests on.
func (c *conf) pools(locations []*block) (all []*block) {
	for _, u := range c.byName["upstream"] {
		if slices.ContainsFunc(locations, func(l *block) bool { return passedTo(l) == u.arg(0) }) {
			all = append(all, u)
		}
	}
	return all
}

// passedTo returns the host of a location's proxy_pass, with its port if it has one.
func passedTo(l *block) string {
	to := ""
	for _, d := range l.all("proxy_pass") {
		to = strings.TrimPrefix(strings.TrimPrefix(d.arg(0), "http://"), "https://")
	}
	if strings.HasPrefix(to, "unix:") {
		to, _, _ = strings.Cut(to[len("unix:"):], ":")
		return "unix:" + to
	}
	to, _, _ = strings.Cut(to, "/")
	return to
}

// addressesOf returns the servers to which locations pass requests on, each once and with a port.
func (c *conf) addressesOf(locations []*block) (all []string) {
	note := func(address string) {
		if !strings.HasPrefix(address, "unix:") && !strings.Contains(address, ":") {
			address += ":80"
		}
		if len(all) < maxUpstreams && !slices.Contains(all, address) && !strings.Contains(address, "$") {
			all = append(all, address)
		}
	}
	for _, l := range locations {
		pools := c.pools([]*block{l})
		for _, u := range pools {
			for _, server := range u.all("server") {
				if !slices.Contains(server.args, "down") {
					note(server.arg(0))
				}
			}
		}
		if len(pools) == 0 {
			note(passedTo(l))
		}
	}
	return all
}

// addresses returns the servers of all locations of a push server.
func (c *conf) addresses() []string {
	return c.addressesOf(slices.Concat(c.routes.subscribers(), c.routes.publishers()))
}
