package publisher

import (
	"net/http"
	"time"

	"pushgate/internal/loglimit"
	"pushgate/internal/portal"
)

// unmatchedInterval is the time between two log lines about signatures that match no key of a
// portal. Anybody can make such requests.
const unmatchedInterval = time.Minute

// unmatched limits the log lines about signatures of a portal that match none of its keys.
type unmatched struct{ posts, questions, clients loglimit.Limiter }

func newUnmatched() *unmatched {
	every := func() loglimit.Limiter { return loglimit.Limiter{Interval: unmatchedInterval} }
	return &unmatched{every(), every(), every()}
}

// logUnmatched logs that the signature of a request matches no key: most often, the portal has
// another key than this process.
func (t *tenant) logUnmatched(limiter *loglimit.Limiter, r *http.Request) {
	times, due := limiter.Count(time.Now())
	if !due {
		return
	}
	t.publisher.logger.Warn("signature matches no key of the portal", "portal", t.Name(), "method", r.Method, "route", route(r),
		"times", times, "remedy", portal.CompareKeys)
}
