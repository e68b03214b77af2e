package publisher

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
)

// byPage reports whether a browser says that a page made a request. It may run in a network that
// may post without a signature, and its pages come from anywhere. No portal sends these headers,
// and no page can keep its browser from sending them.
func byPage(r *http.Request) bool {
	return r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil
}

// hostAllowed reports whether the publisher may be known by the host of a request. A page whose
// name was made to resolve to this machine (DNS rebinding) is of the same origin for its browser,
// which then lets it read answers, and sends its name as the host. Addresses and localhost cannot
// be made to resolve, and who names no host is no browser.
func (p *Publisher) hostAllowed(r *http.Request) bool {
	if p.config.Hosts == nil || r.Host == "" {
		return true
	}
	name := strings.ToLower(hostName(r.Host))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	for _, pattern := range p.config.Hosts {
		if ok, _ := path.Match(strings.ToLower(pattern), name); ok {
			return true
		}
	}
	return false
}

// hostName returns the host of a Host header, without port, brackets and a dot at its end.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
