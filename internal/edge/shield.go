package edge

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/proto"
)

// What makes clients call their portal, as labels.
const (
	callRefused    = "refused"     // their ids or their token were refused
	callConfigNote = "config_note" // the portal says that their configuration is out of date
	callGapNote    = "gap_note"    // a note of a gap, after which a page may reload
)

// Labels of calls that are not counted under the name of a portal.
const (
	unknownPortal = "unknown" // the client named no portal that is served
	otherPortals  = "other"   // there are too many portals
)

// Bounds of the label portal.
const (
	namedPortals = 100
	namedFor     = time.Hour // without a call; then another portal may take its place
)

// portalCalls counts the calls to portals that an edge causes at its clients, by portal. Its
// methods may be called concurrently.
type portalCalls struct {
	total *prometheus.CounterVec // immutable

	mu    sync.Mutex
	named map[string]time.Time // portals that have series of their own, with the last call of each
}

func newPortalCalls(reg prometheus.Registerer) *portalCalls {
	c := &portalCalls{named: make(map[string]time.Time), total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_portal_calls_total",
		Help: "Times that a client got what makes it call its portal (PHP), by portal and cause: refused (its ids or token were refused), " +
			"config_note (a message of the portal, config_expire or channel_expire), gap_note (a page that listens to the note may reload)."},
		[]string{"portal", "cause"})}
	reg.MustRegister(c.total)
	c.show(unknownPortal)
	c.show(otherPortals)
	return c
}

// show makes the series of a portal, because the growth of a series that begins above zero is not
// seen.
func (c *portalCalls) show(portal string) {
	for _, cause := range []string{callRefused, callConfigNote, callGapNote} {
		c.total.WithLabelValues(portal, cause)
	}
}

// expect makes the series of a portal if there is room for one more.
func (c *portalCalls) expect(portal string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, named := c.named[portal]; !named && len(c.named) < namedPortals {
		c.named[portal] = time.Now()
		c.show(portal)
	}
}

// add counts n calls of clients of a portal; nil is one that is not served.
func (c *portalCalls) add(portal *serving, cause string, n int) {
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	label := unknownPortal
	if portal != nil {
		label = c.label(portal.Name(), time.Now())
	}
	c.total.WithLabelValues(label, cause).Add(float64(n))
}

// label returns the label under which a call of a portal's client is counted. c.mu is held.
func (c *portalCalls) label(portal string, now time.Time) string {
	if _, named := c.named[portal]; !named {
		if len(c.named) >= namedPortals && !c.forget(now) {
			return otherPortals
		}
		c.show(portal)
	}
	c.named[portal] = now
	return portal
}

// forget takes the series from the portal that has been without a call for the longest time, and
// reports false if that time is not long enough. c.mu is held.
func (c *portalCalls) forget(now time.Time) bool {
	oldest, since := "", now
	for name, last := range c.named {
		if last.Before(since) {
			oldest, since = name, last
		}
	}
	if now.Sub(since) < namedFor {
		return false
	}
	delete(c.named, oldest)
	c.total.DeletePartialMatch(prometheus.Labels{"portal": oldest})
	return true
}

// outdates reports whether a message is one by which a portal makes its clients ask for a new
// configuration at once.
func outdates(m *proto.Message) bool {
	switch {
	case strings.EqualFold(m.Type, "pull_config_expire"):
		return true
	case !strings.EqualFold(m.Type, "pull_channel_expire"):
		return false
	}
	// A client that must reconnect finds its new channel in the message.
	var body struct{ Params struct{ Action string } }
	return json.Unmarshal(m.Body, &body) != nil || body.Params.Action != "reconnect"
}
