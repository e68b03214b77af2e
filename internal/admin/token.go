package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName = "pushgate_admin"
	// cookiePath keeps the cookie from other paths of the host. Cookies know no ports: without it
	// every other server on this machine would get it, too.
	cookiePath = "/admin/"
	cookieLife = 12 * time.Hour
	// longestSecret is more than any token or cookie has.
	longestSecret = 1024
)

// secret is a token as a guard keeps it: its hash, so that comparisons tell nothing by their time,
// and a key that signs cookies. All processes with the same token derive the same key, so each
// takes the others' cookies; without the token nobody takes them any more.
type secret struct {
	name string
	role Role
	hash [sha256.Size]byte
	key  []byte
}

func newSecret(t Token) secret {
	mac := hmac.New(sha256.New, []byte(t.Secret))
	mac.Write([]byte("pushgate admin cookie"))
	return secret{name: t.Name, role: t.Role, hash: sha256.Sum256([]byte(t.Secret)), key: mac.Sum(nil)}
}

// match returns whose token a text is, in a time that does not depend on how much of it is right;
// nil if it is nobody's.
func (g *Guard) match(text string) (found *secret) {
	if len(text) > longestSecret {
		return nil
	}
	hash := sha256.Sum256([]byte(text))
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(hash[:], g.tokens[i].hash[:]) == 1 {
			found = &g.tokens[i]
		}
	}
	return found
}

// sign returns the signature of a cookie.
func (s *secret) sign(ends string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(s.name + ":" + ends))
	return hex.EncodeToString(mac.Sum(nil))
}

// cookie returns a cookie for somebody who has shown a token: name, end in unix seconds, signature.
func (s *secret) cookie(r *http.Request, now time.Time) *http.Cookie {
	ends := strconv.FormatInt(now.Add(cookieLife).Unix(), 10)
	c := newCookie(r)
	c.Value, c.MaxAge = s.name+":"+ends+":"+s.sign(ends), int(cookieLife/time.Second)
	return c
}

// newCookie returns a cookie that takes the present one away.
func newCookie(r *http.Request) *http.Cookie {
	return &http.Cookie{Name: cookieName, Path: cookiePath, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"}
}

// validity says what a cookie is worth.
type validity int

const (
	forged  validity = iota // or signed by a token that is not there any more
	expired                 // and right
	valid
)

// check returns whose cookie a text is, and what it is worth. Of a role nothing is in the cookie:
// it is the present one of the token.
func (g *Guard) check(text string, now time.Time) (*secret, validity) {
	name, rest, _ := strings.Cut(text, ":")
	ends, signature, _ := strings.Cut(rest, ":")
	for i := range g.tokens {
		s := &g.tokens[i]
		if s.name != name || len(text) > longestSecret || subtle.ConstantTimeCompare([]byte(s.sign(ends)), []byte(signature)) != 1 {
			continue
		}
		if unix, err := strconv.ParseInt(ends, 10, 64); err != nil || now.Unix() >= unix {
			return nil, expired
		}
		return s, valid
	}
	return nil, forged
}

// identify returns who makes a request, or why that is not known and when to try again. A token in
// the header counts alone; else a cookie counts, if the request is of no other site.
func (g *Guard) identify(w http.ResponseWriter, r *http.Request) (Caller, *refusal, time.Duration) {
	caller := Caller{From: clientAddress(r)}
	if len(g.tokens) == 0 {
		return caller, noTokens, 0
	}
	if headers := r.Header["Authorization"]; len(headers) > 0 {
		scheme, text, _ := strings.Cut(headers[0], " ")
		if strings.EqualFold(scheme, "Bearer") && len(headers) == 1 {
			if s := g.match(strings.TrimSpace(text)); s != nil {
				return Caller{s.name, s.role, caller.From}, nil, 0
			}
		}
		return g.wrong(caller)
	}
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) == 0 {
		return caller, noToken, 0
	}
	if !g.ownSite(r) {
		return caller, crossSite, 0
	}
	worth := forged
	for _, cookie := range cookies { // another server of this host may have set one
		s, v := g.check(cookie.Value, time.Now())
		if v == valid {
			return Caller{s.name, s.role, caller.From}, nil, 0
		}
		worth = max(worth, v)
	}
	http.SetCookie(w, newCookie(r))
	if worth == expired {
		return caller, noToken, 0
	}
	return g.wrong(caller)
}

// wrong counts a guess, and returns how it is refused.
func (g *Guard) wrong(caller Caller) (Caller, *refusal, time.Duration) {
	if wait := g.guesses.count(caller.From, time.Now()); wait > 0 {
		return caller, paced, wait
	}
	return caller, wrongToken, 0
}

// ownSite reports whether a request with a cookie comes from a page of the admin port, or, if it
// changes nothing, from the address bar. The browser sends the cookie also with requests of pages
// at other ports of the same host, which are of the same site. Beyond what
// [http.CrossOriginProtection] checks, a request that changes something must prove it: only
// browsers have cookies, and those that know SameSite also send one of the headers.
func (g *Guard) ownSite(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return site == "" || site == "same-origin" || site == "none"
	}
	return (site != "" || r.Header.Get("Origin") != "") && g.origins.Check(r) == nil
}
