package publisher

import (
	"cmp"
	"iter"
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

// forwardingHeaders are where proxies say from which address a request came.
var forwardingHeaders = [...]string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"}

// allowed reports whether a request comes from an allowed network: both its peer and each address
// that a header names. The headers matter for proxies on allowed hosts that forward requests from
// anywhere: behind two of them, the last address is that of the first proxy. Forging them gains
// nothing: they can only take the permission away.
func (p *Publisher) allowed(r *http.Request) bool {
	if !p.within(peer(r)) {
		return false
	}
	for _, name := range forwardingHeaders {
		if _, present := r.Header[name]; present && !p.allWithin(r.Header, name) {
			return false
		}
	}
	return true
}

// allWithin reports whether all addresses that a header names are in an allowed network, and there
// is one.
func (p *Publisher) allWithin(h http.Header, name string) bool {
	for address := range forwarded(h, name) {
		if !p.within(address) {
			return false
		}
	}
	return len(h[name]) > 0
}

// forwarded returns the addresses that a header names, from the first proxy to the nearest. One
// that is no address is the zero Addr.
func forwarded(h http.Header, name string) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, list := range h[name] {
			for element := range strings.SplitSeq(list, ",") {
				texts := []string{element}
				if name == "Forwarded" {
					texts = senders(element)
				}
				for _, text := range texts {
					if !yield(address(text)) {
						return
					}
				}
			}
		}
	}
}

// senders returns whom an element of the header Forwarded (RFC 7239) names: each of its parameters
// "for", or the element if it has none. There should be one, but a proxy that writes the Host of a
// request into another parameter lets its client add some.
func senders(element string) (all []string) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if ok && strings.EqualFold(name, "for") {
			all = append(all, strings.Trim(value, `"`))
		}
	}
	if all == nil {
		return []string{element}
	}
	return all
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

// address returns the address that a proxy has written; the zero Addr if it is none.
func address(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if text == "unix:" { // nginx's word for a client on a unix socket
		return loopback
	}
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return addr.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
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
