package publisher

import (
	"iter"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"pushgate/internal/channel"
	"pushgate/internal/loglimit"
	"pushgate/internal/proto"
)

// notices limits the log lines about refused requests, by the reason of the refusal. A portal does
// not look at the status of its posts: without a line, nobody would notice that all are refused.
type notices map[string]*loglimit.Limiter // immutable

// newNotices returns the limits for one portal, or for requests that name none.
func newNotices() notices {
	n := make(notices)
	for _, no := range []*refusal{forbidden, crossSite, unknownHost, wrongHost, staleForbidden, refusalOf[proto.ErrRequestSignature], refusalOf[proto.ErrNoClientID]} {
		n[no.label] = &loglimit.Limiter{Interval: unmatchedInterval}
	}
	return n
}

// What to do about a refusal.
const (
	allowRemedy = "if these are the addresses of the portal and of the proxies before this process, add them to PUSHGATE_PUBLISH_ALLOW; " +
		"if not, somebody else tried to post, and nothing is wrong"
	signRemedy = "PUSHGATE_PUBLISH_SIGNED is true, so every post needs a signature, and a PHP portal without a client id makes none: " +
		"set it to false, and name the portal's address in PUSHGATE_PUBLISH_ALLOW"
	keyRemedy    = "a portal with a client_id must sign its posts: let it register again, or enter its key in the portal"
	pageRemedy   = "a page made this request, with the network of its browser: sign the request, or let a program send it"
	hostRemedy   = "if this is the host of the portal's path_to_publish, add it to PUSHGATE_HOSTS"
	clientRemedy = "the request names no portal that is served: compare clientId and hostId with the client_id and host_id in the file of PUSHGATE_PORTALS, " +
		"or hostId with PUSHGATE_HOST_ID; a portal in personal mode sends no clientId, and needs an entry without client_id"
	clockRemedy = "compare the clocks of this machine and of the sender; with PUSHGATE_SIGNATURE_WINDOW a signature without a time is refused, too, " +
		"and PHP portals make no other"
)

// logRefused logs that a request was refused, with the addresses that decide and a remedy.
func (p *Publisher) logRefused(n notices, r *http.Request, no *refusal, remedy string, more ...any) {
	times, due := n[no.label].Count(time.Now())
	if !due {
		return
	}
	line := append([]any{"reason", no.label, "method", channel.Quote(r.Method), "route", route(r), "peer", text(peer(r))}, more...)
	for _, name := range forwardingHeaders {
		if _, present := r.Header[name]; present {
			line = append(line, strings.ToLower(name), texts(forwarded(r.Header, name)))
		}
	}
	p.logger.Warn("request refused", append(line, "times", times, "remedy", remedy)...)
}

// logRefused is like that of the publisher, for a request of a portal.
func (t *tenant) logRefused(r *http.Request, no *refusal, remedy string) {
	t.publisher.logRefused(t.notices, r, no, remedy, "portal", t.Name())
}

// refuseUnsigned logs a request without a signature, and returns its refusal.
func (t *tenant) refuseUnsigned(r *http.Request, q query) *refusal {
	no, remedy := t.unsigned(r, q), allowRemedy
	switch {
	case no == crossSite:
		remedy = pageRemedy
	case t.ClientID != "":
		remedy = keyRemedy
	case t.publisher.config.Signed:
		remedy = signRemedy
	}
	t.logRefused(r, no, remedy)
	return no
}

// route returns the route that serves r, without what it matches; "" before r is routed.
func route(r *http.Request) string {
	return strings.TrimSuffix(chi.RouteContext(r.Context()).RoutePattern(), "/*")
}

// maxLoggedAddresses is how many addresses of a header a line has: a sender can write any number.
const maxLoggedAddresses = 8

// texts returns the addresses of a header for a log line; more than [maxLoggedAddresses] end in
// "and more".
func texts(addresses iter.Seq[netip.Addr]) string {
	var all []string
	for address := range addresses {
		if len(all) == maxLoggedAddresses {
			all = append(all, "and more")
			break
		}
		all = append(all, text(address))
	}
	return strings.Join(all, ", ")
}

// text returns an address for a log line. What is not an address may be any text of the sender.
func text(address netip.Addr) string {
	if !address.IsValid() {
		return "unknown"
	}
	return address.String()
}
