package edge

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"pushgate/internal/portal"
)

// unmatchedInterval is the time between two log lines about signatures that match no key of a
// portal. Anybody can make such requests.
const unmatchedInterval = time.Minute

// logUnmatched logs that the signature of a subscription matches no key: most often, the portal has
// another key than this process.
func (e *Edge) logUnmatched(s *serving, r *http.Request) {
	times, due := s.unmatched.Count(time.Now())
	if !due {
		return
	}
	route := strings.TrimSuffix(chi.RouteContext(r.Context()).RoutePattern(), "/*")
	e.logger.Warn("signature matches no key of the portal", "portal", s.Name(), "route", route, "times", times, "remedy", portal.CompareKeys)
}
