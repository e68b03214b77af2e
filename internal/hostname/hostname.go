// Package hostname decides by which names a program may be asked.
package hostname

import (
	"net"
	"net/netip"
	"path"
	"strings"
)

// Of returns the host of a Host header, without the port, brackets and a final dot.
func Of(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// Allowed reports whether a request with a Host header may be served: if it names an address,
// localhost, nothing, or a host that matches one of the patterns, in the syntax of [path.Match].
//
// A page whose name was made to resolve to this machine (DNS rebinding) is of the same origin for
// its browser, which then lets it read answers, and sends its name as the host. Addresses and
// localhost cannot be rebound, and a client that names no host is not a browser.
func Allowed(host string, patterns []string) bool {
	if host == "" {
		return true
	}
	name := strings.ToLower(Of(host))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	for _, pattern := range patterns {
		if ok, _ := path.Match(strings.ToLower(pattern), name); ok {
			return true
		}
	}
	return false
}
