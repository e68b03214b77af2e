package publisher

import (
	"net/http"
	"strings"

	"pushgate/internal/hostname"
)

// byPage reports whether a browser says that a page made a request. The browser may be in a network
// that may post without a signature, while its pages come from anywhere. No portal sends these
// headers, and no page can keep its browser from sending them.
func byPage(r *http.Request) bool {
	return r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil
}

// hostAllowed reports whether a request may name the publisher by its host, as [hostname.Allowed]
// says. Without a list every name is allowed.
func (p *Publisher) hostAllowed(r *http.Request) bool {
	if p.config.Hosts == nil || p.config.SharedHost != "" && strings.EqualFold(hostname.Of(r.Host), hostname.Of(p.config.SharedHost)) {
		return true
	}
	return hostname.Allowed(r.Host, p.config.Hosts)
}
