package publisher

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
)

// TestWhoMayPost tries peers, and the addresses that proxies forward for.
func TestWhoMayPost(t *testing.T) {
	type header = map[string][]string
	const xff, real = "X-Forwarded-For", "X-Real-Ip"
	for _, c := range []struct {
		peer    string
		header  header
		allowed bool
	}{
		{"127.0.0.1:5000", nil, true},
		{"127.9.9.9:5000", nil, true},
		{"[::1]:5000", nil, true},
		{"[::ffff:127.0.0.1]:5000", nil, true},
		{"[::1%lo]:5000", nil, true},
		{"192.0.2.1:5000", nil, false},
		{"[2001:db8::1]:5000", nil, false},
		{"[::ffff:192.0.2.1]:5000", nil, false},
		{"", nil, false},
		{"@", nil, false}, // not a unix socket unless the listener is one
		{"localhost:5000", nil, false},

		{"127.0.0.1:5000", header{xff: {"127.0.0.1"}}, true},
		{"127.0.0.1:5000", header{xff: {"::1"}}, true},
		{"127.0.0.1:5000", header{xff: {"[::1]:5000"}}, true},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1:5000"}}, true},
		{"127.0.0.1:5000", header{xff: {"unix:"}}, true},
		// Behind two proxies on allowed hosts, the last address is that of the first one.
		{"127.0.0.1:5000", header{xff: {"192.0.2.1, 127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1, ::1"}}, true},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1, 192.0.2.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1,192.0.2.1 "}}, false},
		{"127.0.0.1:5000", header{xff: {"192.0.2.1, 192.0.2.2, 127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"192.0.2.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1", "192.0.2.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"192.0.2.1", "127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1", "127.0.0.2"}}, true},
		{"127.0.0.1:5000", header{xff: {""}}, false},
		{"127.0.0.1:5000", header{xff: {"127.0.0.1,"}}, false},
		{"127.0.0.1:5000", header{xff: {"unknown"}}, false},
		{"127.0.0.1:5000", header{xff: {}}, false},
		{"192.0.2.1:5000", header{xff: {"127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{real: {"127.0.0.1"}}, true},
		{"127.0.0.1:5000", header{real: {"192.0.2.1"}}, false},
		{"127.0.0.1:5000", header{real: {"127.0.0.1"}, xff: {"192.0.2.1"}}, false},
		{"127.0.0.1:5000", header{"Forwarded": {"for=127.0.0.1;proto=http"}}, true},
		{"127.0.0.1:5000", header{"Forwarded": {`proto=http; For="[::1]:5000", for=127.0.0.1`}}, true},
		{"127.0.0.1:5000", header{"Forwarded": {"for=192.0.2.1;by=127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{"Forwarded": {"for=192.0.2.1, for=127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{"Forwarded": {"for=unknown"}}, false},
		{"127.0.0.1:5000", header{"Forwarded": {"by=127.0.0.1"}}, false},
		{"127.0.0.1:5000", header{"X-Forwarded-For": {"192.0.2.1;for=127.0.0.1"}}, false},
	} {
		for _, method := range []string{"POST", "GET"} {
			f := &fake{}
			p := newPublisher(config(t), f)
			r := request(method, "/pub/?CHANNEL_ID="+idA, "hello")
			r.RemoteAddr = c.peer
			for name, values := range c.header {
				r.Header[name] = values
			}
			w := p.do(r)
			if c.allowed != (w.Code == 200) || !c.allowed && (w.Code != 403 || w.Body.Len() != 0 || len(f.got) != 0) {
				t.Errorf("%s from %q %v: %d %q, want allowed %v", method, c.peer, c.header, w.Code, w.Body, c.allowed)
			}
			if n := testutil.ToFloat64(p.metrics.refused[forbidden]); (n == 1) == c.allowed {
				t.Errorf("%s from %q %v: counted %v", method, c.peer, c.header, n)
			}
		}
	}
}

func TestUnixSocketIsLoopback(t *testing.T) {
	r := request("POST", "/pub/?CHANNEL_ID="+idA, "hello")
	r.RemoteAddr = "@"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Net: "unix", Name: "/s"})))
	if w := newPublisher(config(t), &fake{}).do(r); w.Code != 200 {
		t.Error(w.Code)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if w := newPublisher(config(t), &fake{}).do(r); w.Code != 403 {
		t.Error("forwarded:", w.Code)
	}
}

func TestSignaturesOfVectors(t *testing.T) {
	tried := 0
	for _, v := range vectors.Load(t).RequestSignatures {
		if !strings.Contains(v.What, "/pub/") {
			continue
		}
		body := v.Body
		if v.BodyHex != "" {
			raw, err := hex.DecodeString(v.BodyHex)
			if err != nil {
				t.Fatal(err)
			}
			body = string(raw)
		}
		c := config(t)
		c.Allow, c.Signer = nil, testkit.Signer(v.Key)
		var r *http.Request
		if strings.HasPrefix(v.What, "POST ") {
			r = request("POST", "/pub/?signature="+v.Signature+"&CHANNEL_ID="+idA, body)
		} else {
			r = request("GET", "/pub/?CHANNEL_ID="+strings.ReplaceAll(v.Text, "/", "%2F")+"&signature="+v.Signature, "")
		}
		tried++
		if w := newPublisher(c, &fake{}).do(r); w.Code != 200 {
			t.Errorf("%s: %d %q", v.What, w.Code, w.Body)
		}
	}
	if tried < 3 {
		t.Errorf("%d vectors tried", tried)
	}
}

// TestSignedPosts tries signatures from outside and inside the allowed networks, with and without
// the demand for them.
func TestSignedPosts(t *testing.T) {
	const body = "hello"
	right := testkit.Signer(testKey).SignBody([]byte(body))
	list := testkit.Signer(testKey).SignBody([]byte(idA))
	for _, c := range []struct {
		name, peer, signature string
		demanded              bool
		status                int
	}{
		{"outside, right", "192.0.2.1:1", right, false, 200},
		{"outside, right, demanded", "192.0.2.1:1", right, true, 200},
		{"outside, wrong", "192.0.2.1:1", list, false, 403},
		{"outside, upper case", "192.0.2.1:1", strings.ToUpper(right), false, 403},
		{"outside, cut short", "192.0.2.1:1", right[:38], false, 403},
		{"outside, none", "192.0.2.1:1", "", false, 403},
		{"inside, right, demanded", "127.0.0.1:1", right, true, 200},
		{"inside, wrong, demanded", "127.0.0.1:1", list, true, 403},
		{"inside, none, demanded", "127.0.0.1:1", "", true, 403},
		{"inside, wrong", "127.0.0.1:1", list, false, 200}, // the address is enough
	} {
		conf := config(t)
		conf.Signed = c.demanded
		f := &fake{}
		r := request("POST", "/pub/?CHANNEL_ID="+idA+"&signature="+c.signature, body)
		r.RemoteAddr = c.peer
		if w := newPublisher(conf, f).do(r); w.Code != c.status || (len(f.got) == 1) != (c.status == 200) {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
	}
	conf := config(t)
	conf.Signed = true
	for signature, status := range map[string]int{list: 200, right: 403, "": 403} {
		if w := newPublisher(conf, &fake{}).do(request("GET", "/pub/?CHANNEL_ID="+idA+"&signature="+signature, "")); w.Code != status {
			t.Errorf("question signed %q: %d, want %d", signature, w.Code, status)
		}
	}
}

// TestSubscribersSignatureIsNoPosts: a subscriber's signature does not publish; the portal's
// self-test, which posts 32 hexadecimal digits without a signature from an allowed network, does.
func TestSubscribersSignatureIsNoPosts(t *testing.T) {
	for text, signed := range map[string]int{idA: 403, idA + ":" + idB: 403, "public:" + idB: 403, `{"id":"` + idA + `"}`: 200} {
		for peer, want := range map[string]int{"192.0.2.1:1": signed, "127.0.0.1:1": 200} {
			f := &fake{}
			query := "/pub/?CHANNEL_ID=" + idA
			if peer != "127.0.0.1:1" {
				query += "&signature=" + testkit.Signer(testKey).SignBody([]byte(text))
			}
			r := request("POST", query, text)
			r.RemoteAddr = peer
			if w := newPublisher(config(t), f).do(r); w.Code != want || (len(f.got) == 1) != (want == 200) {
				t.Errorf("%q from %s: %d and %d messages, want %d", text, peer, w.Code, len(f.got), want)
			}
		}
	}
}

// untouched is a body that must not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("untouched")
}

// TestOutsidersLearnNothing: whatever is wrong with a post, an outsider gets 403. If nothing in the
// request can be a signature, the body is not even read.
func TestOutsidersLearnNothing(t *testing.T) {
	for _, query := range []string{"", "CHANNEL_ID=zz", "CHANNEL_ID=" + idA} {
		for _, body := range []string{"", "hello", "#!NGINXNMS!#"} {
			p := newPublisher(config(t), &fake{})
			r := request("POST", "/pub/?"+query, body)
			r.Body, r.RemoteAddr = io.NopCloser(untouched{t}), "192.0.2.1:1"
			if w := p.do(r); w.Code != 403 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "text/plain" {
				t.Errorf("%q %q: %d %q", query, body, w.Code, w.Body)
			}
			for signature, possible := range map[string]bool{strings.Repeat("0", 40): true, "x": false, "00": false, strings.Repeat("0", 39): false,
				strings.Repeat("0", 41): false, strings.Repeat("0", 64): false, strings.Repeat("F", 40): false, strings.Repeat("g", 40): false} {
				r = request("POST", "/pub/?signature="+signature+"&"+query, body)
				r.RemoteAddr = "192.0.2.1:1"
				if !possible {
					r.Body = io.NopCloser(untouched{t})
				}
				if w := p.do(r); w.Code != 403 || w.Body.Len() != 0 {
					t.Errorf("%q %q, signed by %q: %d %q", query, body, signature, w.Code, w.Body)
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	want := vectors.Load(t).Answer(t, 2, "POST rest larger than limits.maxPayload")
	want.Headers = map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}
	for _, limit := range []int64{1, 100, 4 << 10, firstRead, firstRead + 1, 1 << 20} {
		c := config(t)
		c.Limits.Payload = limit
		for _, chunked := range []bool{false, true} {
			post := func(size int64, r io.Reader) (*fake, *http.Request) {
				f := &fake{}
				req := request("POST", "/pub/?CHANNEL_ID="+idA, "")
				req.ContentLength, req.Body = size, io.NopCloser(r)
				if chunked {
					req.ContentLength = -1
				}
				return f, req
			}
			full := strings.Repeat("x", int(limit))
			f, r := post(limit, strings.NewReader(full))
			if w := newPublisher(c, f).do(r); w.Code != 200 || string(f.got[0].Body) != full {
				t.Errorf("limit %d, chunked %v: %d", limit, chunked, w.Code)
			}
			more := io.Reader(untouched{t}) // an announced length is enough
			if chunked {
				more = strings.NewReader(full + "x")
			}
			f, r = post(limit+1, more)
			w := newPublisher(c, f).do(r)
			check(t, w, want)
			if len(f.got) != 0 || w.Header().Get("Connection") != "close" {
				t.Errorf("limit %d, chunked %v: %v", limit, chunked, w.Header())
			}
		}
	}
}

// TestHostInForwardedAddsNoAddress: a proxy writes the Host of a request into the header Forwarded,
// before the address of its client, and the client has put an allowed address into the Host.
func TestHostInForwardedAddsNoAddress(t *testing.T) {
	p := newPublisher(config(t), &fake{})
	for _, host := range []string{"x;for=127.0.0.1", "x,for=127.0.0.1", `x";for="127.0.0.1`, "x;for=127.0.0.1;x="} {
		r := request("POST", "/bitrix/pub/?CHANNEL_ID="+idA, "hello")
		r.Header.Set("Forwarded", `by=127.0.0.1;host="`+host+`";for=192.0.2.1`)
		if w := p.do(r); w.Code != 403 {
			t.Errorf("%s: status %d", host, w.Code)
		}
	}
}
