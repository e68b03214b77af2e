// Package load puts a push server under load and checks while it measures: that every subscriber
// gets every message once and in order.
//
// Messages carry marks: of which stream they are, their place in it, and when they were sent. All
// connections of subscribers and publishers are held by one goroutine, so that the clock is one and
// the tool stays far lighter than what it measures.
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Peer is a kind of server.
type Peer string

// The kinds of servers.
const (
	Pushgate   Peer = "pushgate"
	Node       Peer = "node"       // the original server of the portal
	Nchan      Peer = "nchan"      // the module of nginx
	Centrifugo Peer = "centrifugo" // by WebSocket and JSON, anonymous, and by the HTTP API
	// By WebSocket, over a backend that subscribes every client, and by the HTTP API.
	Pushpin Peer = "pushpin"
)

// Signs reports whether the channels of a peer are signed.
func (p Peer) Signs() bool { return p == Pushgate || p == Node }

// Form is how messages look to subscribers.
type Form string

// The wire forms of docs/protocol.md. With nchan, Centrifugo and Pushpin bodies are raw, so that
// there is only Text, and with nchan SSE.
const (
	Text     Form = "text"
	Protobuf Form = "protobuf"
	JSONRPC  Form = "jsonrpc"
	JSON     Form = "json"
	SSE      Form = "sse" // which is a transport, too
)

// Forms are all of them.
func Forms() []Form { return []Form{Text, Protobuf, JSONRPC, JSON, SSE} }

// Transport is how messages travel to subscribers.
type Transport string

// The transports. With the form [SSE] there is no choice.
const (
	WebSocket Transport = "ws"
	Poll      Transport = "poll"
)

// FlatOut as a rate means as many posts as the server accepts, with each publisher posting one at a
// time.
const FlatOut = -1

// Options are a scenario, its sizes and the server. A zero field takes the default of the scenario.
type Options struct {
	Scenario string
	Label    string // what a report calls the server; the peer if empty
	Variant  string // what a report calls this kind of run; made of what was chosen if empty
	Peer     Peer
	// URLs, of several servers in turns; a bare address stands for the usual paths. For nchan they
	// have "{channel}" in them, for Pushpin those of subscribers.
	Sub, Pub  []string
	Signer    *Signer // of channel ids; only for Pushgate and Node
	Sign      bool    // posts, too
	ClientID  string  // of the portal, where several share the server; not for nchan
	Form      Form
	Transport Transport

	Connections int
	Rate        float64       // posts each second, over all channels, or FlatOut
	Duration    time.Duration // of the posting, or of the rest of idle connections
	Size        int           // of a body, in bytes
	Publishers  int           // connections that post
	Concurrency int           // handshakes under way at a time
	Missed      int           // messages that each sleeper misses
	Slow        int           // subscribers that do not read
	Volume      int64         // bytes of bodies that are sent to slow readers
	Settle      time.Duration // pause before memory is read
	Patience    time.Duration // how long nothing arrives until missing messages count as lost

	// Addresses of this machine to connect from; chosen if empty and the server is on the loopback.
	Sources   []netip.Addr
	PIDs      []int    // of the server; their children count too
	StorePIDs []int    // of its Redis
	Metrics   []string // URLs of /metrics, where there are no process ids
}

// complete fills in the defaults.
func (o *Options) complete() (*scenario, error) {
	i := slices.IndexFunc(scenarios(), func(s scenario) bool { return s.name == o.Scenario })
	if i < 0 {
		return nil, fmt.Errorf("unknown scenario %q", o.Scenario)
	}
	s := scenarios()[i]
	d := s.defaults
	fill(&o.Peer, Pushgate)
	fill(&o.Label, string(o.Peer))
	fill(&o.Form, Text)
	fill(&o.Transport, d.Transport)
	fill(&o.Transport, WebSocket)
	fill(&o.Connections, d.Connections)
	fill(&o.Rate, d.Rate)
	fill(&o.Duration, d.Duration)
	fill(&o.Size, d.Size)
	fill(&o.Size, 256)
	if o.Rate == FlatOut {
		fill(&o.Publishers, d.Publishers)
	}
	fill(&o.Publishers, min(d.Publishers, 16))
	fill(&o.Publishers, 1)
	fill(&o.Concurrency, d.Concurrency)
	fill(&o.Concurrency, 256)
	fill(&o.Missed, d.Missed)
	fill(&o.Slow, d.Slow)
	fill(&o.Volume, d.Volume)
	fill(&o.Settle, 2*time.Second)
	fill(&o.Patience, 10*time.Second)
	return &s, o.check(s)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) check(s scenario) error {
	switch {
	case !slices.Contains([]Peer{Pushgate, Node, Nchan, Centrifugo, Pushpin}, o.Peer):
		return fmt.Errorf("unknown peer %q", o.Peer)
	case !slices.Contains(Forms(), o.Form):
		return fmt.Errorf("unknown form %q", o.Form)
	case o.Transport != WebSocket && o.Transport != Poll:
		return fmt.Errorf("unknown transport %q", o.Transport)
	case o.Form == SSE && o.Transport == Poll:
		return errors.New("server-sent events cannot be polled")
	case o.Peer == Nchan && o.Form != Text && o.Form != SSE:
		return errors.New("nchan has the forms text, which is the bare body, and sse")
	case (o.Peer == Centrifugo || o.Peer == Pushpin) && o.Form != Text:
		return fmt.Errorf("%s has the form text, which is the bare body", o.Peer)
	case o.Peer == Centrifugo && o.Transport == Poll:
		return errors.New("centrifugo has no long poll")
	case o.Peer == Pushpin && (o.Transport == Poll || s.defaults.Missed > 0):
		return errors.New("pushpin keeps no messages for subscribers that are away, not even between two polls")
	case !o.Peer.Signs() && s.manyChannels:
		return fmt.Errorf("the scenario %s has subscribers of several channels, which is not implemented for %s", s.name, o.Peer)
	case o.Peer == Node && o.Form != Text && o.Form != Protobuf:
		return errors.New("node has the forms text and protobuf")
	case o.Peer.Signs() && o.Signer == nil:
		return errors.New("a signature key is required")
	case o.Connections < 1 || o.Publishers < 1 || o.Concurrency < 1 || o.Missed < 0 || o.Slow < 0 || o.Volume < 0 || o.Duration < 0:
		return errors.New("sizes must be above zero")
	case o.Rate < 0 && o.Rate != FlatOut:
		return errors.New("a rate must be above zero")
	case o.Size < minBody:
		return fmt.Errorf("a body has at least %d bytes", minBody)
	case o.Slow >= o.Connections:
		return errors.New("at least one subscriber must read")
	}
	if len(o.Sub) == 0 || len(o.Pub) == 0 {
		return errors.New("addresses to subscribe and to publish are required")
	}
	for _, u := range o.templates() {
		if !strings.Contains(u, channelPlace) {
			return fmt.Errorf("%s: an address of %s must contain %s in place of the channel", u, o.Peer, channelPlace)
		}
	}
	return nil
}

// templates returns the addresses that name the channel.
func (o *Options) templates() []string {
	switch o.Peer {
	case Nchan:
		return slices.Concat(o.Sub, o.Pub)
	case Pushpin:
		return o.Sub
	default:
		return nil
	}
}

// target is one address of a server.
type target struct {
	addr     netip.AddrPort
	host     string // as the request names it
	path     string // what begins with a slash; empty for the usual one
	template bool   // path has channelPlace in it
}

// parseTarget reads a URL. Names are looked up once.
func parseTarget(text string, lookup func(host string) (netip.Addr, error)) (t target, err error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(strings.ReplaceAll(text, channelPlace, channelMark))
	if err != nil {
		return t, err
	}
	switch u.Scheme {
	case "http", "ws":
	default:
		return t, fmt.Errorf("%s: only plain http is supported: put the load on the server, not on its TLS", text)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		if ip, err = lookup(u.Hostname()); err != nil {
			return t, err
		}
	}
	if t.addr, err = netip.ParseAddrPort(netip.AddrPortFrom(ip.Unmap(), 0).Addr().String() + ":" + port); ip.Unmap().Is6() {
		t.addr, err = netip.ParseAddrPort("[" + ip.String() + "]:" + port)
	}
	t.host = u.Host
	t.path = u.RequestURI()
	t.template = strings.Contains(t.path, channelMark)
	t.path = strings.ReplaceAll(t.path, channelMark, channelPlace)
	if u.Path == "" || u.Path == "/" && u.RawQuery == "" {
		t.path = ""
	}
	return t, err
}

// Quicken sets every size that is zero to a tenth of its default, for a quick trial.
func (o *Options) Quicken() {
	for _, s := range scenarios() {
		if s.name != o.Scenario {
			continue
		}
		d := s.defaults
		fill(&o.Connections, max(d.Connections/10, 1))
		fill(&o.Duration, min(d.Duration, 3*time.Second))
		fill(&o.Volume, d.Volume/10)
		fill(&o.Settle, time.Second)
	}
}
