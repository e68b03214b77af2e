package edge

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"pushgate/internal/wire"
)

// originAllowed reports whether a request comes from a page that may subscribe, or from no page:
// browsers name the origin of each WebSocket, and of whatever a page reads from another host. The
// secret is in the address, not in a cookie, so this is only for operators who want to bind it to
// pages of their own.
func (e *Edge) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	for _, pattern := range e.config.Origins {
		if pattern == "*" {
			return true
		}
		if err != nil || u.Host == "" {
			continue
		}
		from := u.Host
		if strings.Contains(pattern, "://") {
			from = u.Scheme + "://" + u.Host
		}
		if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(from)); ok {
			return true
		}
	}
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// refuseOrigin answers 403 without leave to read it, and before the upgrade: the page is to learn
// nothing.
func (e *Edge) refuseOrigin(w http.ResponseWriter, r *http.Request) {
	e.metrics.origins.Inc()
	e.logOrigin(r)
	w.Header().Set("Content-Type", wire.PlainText)
	w.WriteHeader(http.StatusForbidden)
}
