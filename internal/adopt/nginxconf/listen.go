package nginxconf

import (
	"net"
	"strings"
)

// Reachable reports whether other machines reach what listens at an address of a listen directive,
// such as 127.0.0.1:8895, 8893 or unix:/run/nginx.sock.
func Reachable(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return false
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	return host != "localhost" && !net.ParseIP(host).IsLoopback()
}
