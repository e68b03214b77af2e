package publisher

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestSharedHost: a portal that asks which server to use gets the configured host, in the form that
// it stores, whatever host it has asked. There is one answer at exactly one path for each question.
func TestSharedHost(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/hostname", "", 200, "push.example.com:8443"},
		{"GET", "/hostname?x=y", "", 200, "push.example.com:8443"},
		{"GET", "/servers", "", 200, "push.example.com:8443;pushgate"},
		{"GET", "/hostname/", "", 404, ""},
		{"GET", "/servers/x", "", 404, ""},
		{"GET", "/bitrix/hostname", "", 404, ""},
		{"GET", "/servers/../hostname", "", 404, ""},
		{"GET", "/%73ervers", "", 404, ""},
		{"HEAD", "/hostname", "", 404, ""},
		{"POST", "/hostname", "x", 404, ""},
		{"OPTIONS", "/servers", "", 404, ""},
	} {
		for _, from := range []string{"127.0.0.1:5000", "192.0.2.1:5000"} {
			s := config(t)
			s.SharedHost = "push.example.com:8443"
			p := newPublisher(s, &fake{})
			r := httptest.NewRequest(c.method, c.target, nil)
			r.RemoteAddr, r.Host = from, "evil.test"
			w := p.do(r)
			answered := 0.0
			if c.status == 200 {
				answered = 1
				if h := w.Header(); h.Get("Content-Type") != "text/plain" || h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s: %v", c.method, c.target, h)
				}
			}
			if w.Code != c.status || w.Body.String() != c.want || testutil.ToFloat64(p.metrics.hosts) != answered {
				t.Errorf("%s %s: %d %q, counted %v times", c.method, c.target, w.Code, w.Body, testutil.ToFloat64(p.metrics.hosts))
			}
		}
	}
	for _, path := range []string{"/hostname", "/servers"} {
		if w := newPublisher(config(t), &fake{}).do(request("GET", path, "")); w.Code != 404 {
			t.Errorf("%s without a host: %d %q", path, w.Code, w.Body)
		}
	}
}

// TestSharedHostIsAllowed: a list of hosts need not repeat the host that portals are sent to, and
// holds for the question, too.
func TestSharedHostIsAllowed(t *testing.T) {
	for shared, allowed := range map[string]map[string]bool{
		"push.example.com:8443": {"push.example.com": true, "PUSH.example.com:8443": true, "other.test": true, "evil.test": false, ":80": false},
		"":                      {"push.example.com": false, "other.test": true, ":80": false},
	} {
		for host, want := range allowed {
			s := config(t)
			s.SharedHost, s.Hosts = shared, []string{"other.test"}
			p := newPublisher(s, &fake{})
			for _, target := range []string{"/hostname", "/server-stat/"} {
				r := request("GET", target, "")
				r.Host = host
				if w := p.do(r); want != (w.Code != 403) {
					t.Errorf("%s of %q, with %q: %d", target, host, shared, w.Code)
				}
			}
		}
	}
}
