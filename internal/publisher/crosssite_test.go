package publisher

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/testkit"
)

// TestCrossSiteRequests: a page's request needs a signature even from an allowed network, and is
// refused before its body is read. A request with a signature is served, and so is a client's
// batch, which pages send.
func TestCrossSiteRequests(t *testing.T) {
	sign := func(text string) string { return "&signature=" + testkit.Signer(testKey).SignBody([]byte(text)) }
	for _, header := range []http.Header{
		nil,
		{"Origin": {"https://evil.test"}},
		{"Origin": {"null"}},
		{"Origin": {""}},
		// A name that resolves to this machine may be of the same origin.
		{"Origin": {"http://127.0.0.1:9010"}},
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-origin"}},
		{"Sec-Fetch-Site": {"none"}},
		{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}},
	} {
		for _, c := range []struct {
			method, target, body string
			signed               bool // so that it is served whatever the headers say
		}{
			{"POST", "/pub/?CHANNEL_ID=" + idA, "hello", false},
			{"POST", "/pub/?CHANNEL_ID=" + idA + sign("hello"), "hello", true},
			{"POST", "/pub/?binaryMode=true", "", false},
			{"GET", "/pub/?CHANNEL_ID=" + idA, "", false},
			{"GET", "/pub/?CHANNEL_ID=" + idA + sign(idA), "", true},
			{"GET", "/server-stat/", "", false},
		} {
			f := &fake{}
			p := newPublisher(config(t), f)
			r := request(c.method, c.target, c.body)
			for name, values := range header {
				r.Header[name] = values
			}
			w := p.do(r)
			counted := testutil.ToFloat64(p.metrics.refused[crossSite])
			refused := header != nil && !c.signed
			if refused != (w.Code == 403) || refused != (counted == 1) || refused && (w.Body.String() != "4026: Wrong request signature." || len(f.got) > 0) {
				t.Errorf("%s %s with %v: %d %q, %v counted, %d messages", c.method, c.target, header, w.Code, w.Body, counted, len(f.got))
			}
		}
	}
	p := newPublisher(config(t), &fake{})
	r := request("POST", "/pub/?CHANNEL_ID="+idA, "hello")
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("Origin", "https://evil.test")
	if w := p.do(r); w.Code != 403 || w.Body.Len() != 0 || testutil.ToFloat64(p.metrics.refused[forbidden]) != 1 {
		t.Errorf("from outside: %d %q", w.Code, w.Body)
	}
}

// TestHosts: with a list, a request for another name is refused on every path, and counted.
// Addresses and localhost are allowed, because an attacker cannot make them resolve to this
// machine.
func TestHosts(t *testing.T) {
	for host, listed := range map[string]bool{
		"push.example.com": true, "PUSH.example.com": true, "push.example.com:8895": true, "push.example.com.": true, "a.portal.test": true,
		"127.0.0.1": true, "127.0.0.1:9010": true, "[::1]:9010": true, "[::1]": true, "localhost": true, "localhost:9010": true, "": true,
		"evil.test": false, "evil.test:9010": false, "portal.test": false, "push.example.com.evil.test": false, "127.0.0.1.evil.test": false,
		"evil.test:127.0.0.1": false, "localhost.evil.test": false,
	} {
		for _, hosts := range [][]string{nil, {"push.example.com", "*.portal.test"}} {
			for _, target := range []string{"POST /pub/?CHANNEL_ID=" + idA, "GET /pub/?CHANNEL_ID=" + idA, "GET /server-stat/"} {
				c := config(t)
				c.Hosts = hosts
				f := &fake{}
				p := newPublisher(c, f)
				method, path, _ := strings.Cut(target, " ")
				r := request(method, path, "hello")
				r.Host = host
				w := p.do(r)
				want, counted := 200, testutil.ToFloat64(p.metrics.refused[unknownHost])
				if hosts != nil && !listed {
					want = 403
				}
				if w.Code != want || (counted == 1) != (want == 403) {
					t.Errorf("%s for %q, listed %v: %d, %v counted", target, host, hosts, w.Code, counted)
				}
			}
		}
	}
}
