package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// SharedHost is a host name in lower case or an address, perhaps with a port, as it stands in a
// URL.
type SharedHost string

var hostInURL = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]+)?$`)

// UnmarshalText checks a host. Portals store it, and put it into their addresses as it is.
func (h *SharedHost) UnmarshalText(text []byte) error {
	host := strings.ToLower(string(text))
	u, err := url.Parse("https://" + host)
	if err != nil || !hostInURL.MatchString(host) {
		return fmt.Errorf("invalid host %q", text)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("invalid port %q", port)
		}
	}
	*h = SharedHost(host)
	return nil
}
