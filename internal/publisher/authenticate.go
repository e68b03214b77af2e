package publisher

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/sign"
)

// trusts reports whether a request needs no signature. Among many portals every request needs one:
// its address does not say which portal sent it. So does one that a page made.
func (t *tenant) trusts(r *http.Request) bool { return t.allows(r) && !byPage(r) }

// allows reports whether a request comes from a network from which no signature is needed.
func (t *tenant) allows(r *http.Request) bool {
	return t.ClientID == "" && !t.publisher.config.Signed && t.publisher.allowed(r)
}

// loopback is the address that a peer on a unix socket counts as.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// forwardingHeaders are where a proxy says from which address a request came.
var forwardingHeaders = [...]string{"X-Forwarded-For", "X-Real-Ip"}

// allowed reports whether a request comes from an allowed network: both its peer and the address
// that the peer names in a header. The header matters for a proxy on an allowed host that forwards
// requests from anywhere. Forging it gains nothing: it can only take the permission away.
func (p *Publisher) allowed(r *http.Request) bool {
	if !p.within(peer(r)) {
		return false
	}
	for _, name := range forwardingHeaders {
		if values, present := r.Header[name]; present && !p.within(forwarded(values)) {
			return false
		}
	}
	return true
}

func (p *Publisher) within(addr netip.Addr) bool {
	return slices.ContainsFunc(p.config.Allow, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// peer returns the address at the other end of the connection; the zero Addr if it is not known.
func peer(r *http.Request) netip.Addr {
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return addr.Addr().Unmap().WithZone("")
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return loopback
	}
	return netip.Addr{}
}

// forwarded returns the last address that proxies have added, which the nearest of them has
// written; the zero Addr if it is not an address.
func forwarded(values []string) netip.Addr {
	if len(values) == 0 {
		return netip.Addr{}
	}
	last := values[len(values)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if last == "unix:" { // nginx's word for a client on a unix socket
		return loopback
	}
	if addr, err := netip.ParseAddrPort(last); err == nil {
		return addr.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(last, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// wrongSignature returns the refusal of a request whose signature is wrong.
func (t *tenant) wrongSignature(q query) *refusal {
	if q.binary || t.ClientID != "" {
		return refusalOf[proto.ErrRequestSignature]
	}
	return forbidden
}

// unsigned returns the refusal of a request that has no signature and needs one.
func (t *tenant) unsigned(r *http.Request, q query) *refusal {
	if t.allows(r) { // then a page made it
		return crossSite
	}
	return t.wrongSignature(query{client: q.client})
}

// usualWindow bounds the distance from now of a signature's time, where a time is optional.
const usualWindow = 5 * time.Minute

// authenticate returns nil for a signed request: signed in the portals' own way, as plain reports,
// or with a time over its channels and body. Else it returns no, or, for a valid signature with a
// wrong time, the refusal with the same answer.
func (t *tenant) authenticate(q query, plain func() bool, body []byte, no *refusal) *refusal {
	window := t.publisher.config.Window
	if q.time == "" {
		switch {
		case !plain():
			return no
		case window != 0:
			return no.stale()
		default:
			return nil
		}
	}
	seconds, err := strconv.ParseInt(q.time, 10, 64)
	if err != nil || !t.Signer.VerifyPost(sign.Post{Time: seconds, Channels: q.channels, Body: body}, q.signature) {
		return no
	}
	if time.Since(time.Unix(seconds, 0)).Abs() > cmp.Or(window, usualWindow) {
		return no.stale()
	}
	return nil
}
