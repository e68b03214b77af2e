package edge

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"pushgate/internal/channel"
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
	e.logger.Warn("signature matches no key of the portal", "portal", s.Name(), "route", route(r), "times", times, "remedy", portal.CompareKeys)
}

// logMalformed logs why a list or a token is refused that a key of the portal may well have signed.
// An expired token is an everyday matter, so this is no warning.
func (e *Edge) logMalformed(s *serving, r *http.Request, err error) {
	times, due := s.malformed.Count(time.Now())
	if !due {
		return
	}
	line := []any{"portal", s.Name(), "route", route(r), "times", times, "error", err}
	if errors.Is(err, channel.ErrMalformed) && e.config.Grammar == channel.Hex {
		line = append(line, "remedy", "if the portal is of the first generation, whose ids have other letters than a to f, set PUSHGATE_CHANNEL_GRAMMAR=1")
	}
	e.logger.Info("subscription refused", line...)
}

// logOrigin logs that a page of another site was refused. Its browser tells the page nothing.
func (e *Edge) logOrigin(r *http.Request) {
	times, due := e.origins.Count(time.Now())
	if !due {
		return
	}
	e.logger.Warn("page refused", "origin", channel.Quote(r.Header.Get("Origin")), "times", times,
		"remedy", "if this is a page of the portal, add its host to PUSHGATE_ORIGINS")
}

// route returns the route that serves r, without what it matches.
func route(r *http.Request) string {
	return strings.TrimSuffix(chi.RouteContext(r.Context()).RoutePattern(), "/*")
}
