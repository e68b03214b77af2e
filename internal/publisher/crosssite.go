package publisher

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
)

// byPage reports whether a browser says that a page made a request. The browser may be in a network
// that may post without a signature, while its pages come from anywhere. No portal sends these
// headers, and no page can keep its browser from sending them.
func byPage(r *http.Request) bool {
	return r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil
}

// hostAllowed reports whether a request may name the publisher by its host. A page whose name was
// made to resolve to this machine (DNS rebinding) is of the same origin for its browser, which then
// lets it read answers, and sends its name as the host. Addresses and localhost cannot be rebound,
// and a client that names no host is not a browser.
func (p *Publisher) hostAllowed(r *http.Request) bool {
	if p.config.Hosts == nil || r.Host == "" {
		return true
	}
	name := strings.ToLower(hostName(r.Host))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	if p.config.SharedHost != "" && name == hostName(p.config.SharedHost) {
		return true
	}
	for _, pattern := range p.config.Hosts {
		if ok, _ := path.Match(strings.ToLower(pattern), name); ok {
			return true
		}
	}
	return false
}

// hostName returns the host of a Host header, without the port, brackets and a final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
