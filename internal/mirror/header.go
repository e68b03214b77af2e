package mirror

import (
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pushgate/internal/proto"
)

// hopByHop are headers that mean one connection, besides those that the Connection header names
// (RFC 9110, 7.6.1), and those that the transport writes itself.
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Expect", "Content-Length"}

// target returns the address of a post at the other server.
func (m *Mirror) target(of *url.URL) *url.URL {
	u := *of
	u.Scheme, u.Host, u.User = m.config.URL.Scheme, m.config.URL.Host, nil
	return &u
}

// header returns the header of a copy: that of the post without what means its connection and
// without cookies, which are a user's session at the portal; marked as a copy, and with a key by
// which a server recognizes it if it is sent again.
func (m *Mirror) header(r *http.Request) http.Header {
	h := r.Header.Clone()
	for _, list := range r.Header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	delete(h, "Cookie")
	copySenders(h, r.Header)
	if h["User-Agent"] == nil {
		h["User-Agent"] = nil // else the transport adds its own
	}
	if h["Idempotency-Key"] == nil {
		h["Idempotency-Key"] = []string{rand.Text()}
	}
	if m.authorization != "" {
		h["Authorization"] = []string{m.authorization}
	}
	h["X-Forwarded-For"] = forwardedFor(r)
	h[proto.MirrorHeader] = []string{"1"}
	return h
}

// forwardedFor returns the header X-Forwarded-For of a request with its peer added, as a proxy
// does. A server that believes unsigned posts by their address must learn where this one came from.
func forwardedFor(r *http.Request) []string {
	peer := "unix:" // as nginx writes it
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		peer = host
	}
	if before := r.Header["X-Forwarded-For"]; len(before) > 0 {
		peer = strings.Join(before, ", ") + ", " + peer
	}
	return []string{peer}
}

// copySenders copies the other headers in which proxies say where a request came from.
// [httputil.ReverseProxy] drops one of them, and a client can have both dropped by naming them in
// the header Connection: a server would believe its post for the proxy's address.
func copySenders(to, from http.Header) {
	for _, name := range [...]string{"Forwarded", "X-Real-Ip"} {
		if values, present := from[name]; present {
			to[name] = slices.Clone(values)
		}
	}
}

// basic returns the header Authorization for a user and password.
func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
