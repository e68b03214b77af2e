package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/wire/pb"
)

// taken is a request as a server got it.
type taken struct {
	method, uri, body string
	header            http.Header
}

// recorder is a server that keeps what it gets.
type recorder struct {
	*httptest.Server
	mu  sync.Mutex
	got []taken
}

func record(t *testing.T, answer http.HandlerFunc) *recorder {
	s := &recorder{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, taken{r.Method, r.RequestURI, string(body), r.Header})
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *recorder) requests() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func address(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// proxied is a proxy between two recording servers.
type proxied struct {
	primary, other *recorder
	url            string
	drain          func() // ends it after all copies have been sent
}

// startProxy runs a proxy with its whole service around it. The primary answers as the handler
// says.
func startProxy(t *testing.T, answer http.HandlerFunc) proxied {
	primary, other := record(t, answer), record(t, nil)
	ctx, end := context.WithCancel(t.Context())
	started := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Listen: "127.0.0.1:0", Primary: address(t, primary.URL), Mirror: address(t, other.URL), MaxPayload: 1000,
			Started: func(addr net.Addr) { started <- addr }})
	}()
	drain := sync.OnceFunc(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(drain)
	return proxied{primary, other, "http://" + (<-started).String(), drain}
}

// send makes a request, and returns the answer as it came.
func send(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// batch encodes a message to a channel.
func batch(t *testing.T, id channel.ID) string {
	raw, _ := id.Bytes()
	b, err := proto.Marshal(&pb.RequestBatch{Requests: []*pb.Request{{Command: &pb.Request_IncomingMessages{
		IncomingMessages: &pb.IncomingMessagesRequest{Messages: []*pb.IncomingMessage{{
			Receivers: []*pb.Receiver{{Id: raw[:], IsPrivate: true}}, Body: []byte("{}")}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyReturnsThePrimarysAnswer: status, headers and body are those of the primary, and the
// primary gets the request as it came.
func TestProxyReturnsThePrimarysAnswer(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		header http.Header
	}{
		{200, "", http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"0"}, "Date": {"Sat, 21 Nov 2026 01:56:50 GMT"}}},
		{200, `{ "infos": []}`, http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"14"}, "X-Two": {"a", "b"}, "Date": {"d"}}},
		{400, "4010: Wrong Channel Id.", http.Header{"Content-Length": {"23"}, "Date": {"d"}}},
		{302, "", http.Header{"Location": {"/elsewhere"}, "Content-Length": {"0"}}},
		{503, "\x1f\x8b\x00", http.Header{"Content-Encoding": {"gzip"}, "Retry-After": {"1"}, "Content-Length": {"3"}}},
	} {
		p := startProxy(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"], w.Header()["Date"] = nil, nil
			maps.Copy(w.Header(), c.header)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		answer, text := send(t, "POST", p.url+"/bitrix/pub?CHANNEL_ID=a%2Fb", "body", "Message-Expiry", "60", "X-Forwarded-For", "10.0.0.1")
		if answer.StatusCode != c.status || text != c.body || fmt.Sprint(answer.Header) != fmt.Sprint(c.header) {
			t.Errorf("%d %q %v\nwant %d %q %v", answer.StatusCode, text, answer.Header, c.status, c.body, c.header)
		}
		got := p.primary.requests()[0]
		if got.method != "POST" || got.uri != "/bitrix/pub?CHANNEL_ID=a%2Fb" || got.body != "body" || got.header.Get("Message-Expiry") != "60" ||
			got.header.Get("X-Forwarded-For") != "10.0.0.1, 127.0.0.1" || got.header.Get("X-Pushgate-Mirror") != "" {
			t.Errorf("the primary got %q", got)
		}
		p.drain()
	}
}

// TestProxyCopiesAcceptedPosts: what the primary accepted is copied, and nothing else.
func TestProxyCopiesAcceptedPosts(t *testing.T) {
	p := startProxy(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("answer") {
		case "refused":
			w.WriteHeader(400)
		case "text":
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0"}`)
		}
	})
	for _, c := range []struct {
		method, target string
		copied         bool
		header         []string
	}{
		{"POST", "/bitrix/pub/?n=text-post", true, nil},
		{"POST", "/bitrix/pub/?n=batch&binaryMode=true", true, nil},
		{"POST", "/bitrix/api/?n=api&answer=text", true, nil},
		{"POST", "/bitrix/rest/?n=client", true, nil},
		{"POST", "/bitrix/pub/?n=question&answer=text", false, nil},
		{"POST", "/bitrix/pub/?n=refused&answer=refused", false, nil},
		{"POST", "/bitrix/pub/?n=copy", false, []string{"X-Pushgate-Mirror", "1"}},
		{"GET", "/bitrix/pub/?n=get", false, nil},
		{"DELETE", "/bitrix/pub/?n=delete", false, nil},
	} {
		before := len(p.primary.requests())
		if answer, _ := send(t, c.method, p.url+c.target, "body", c.header...); answer.StatusCode != 200 && answer.StatusCode != 400 {
			t.Errorf("%s: %s", c.target, answer.Status)
		}
		if len(p.primary.requests()) != before+1 {
			t.Errorf("%s did not reach the primary", c.target)
		}
	}
	p.drain()
	var names []string
	for _, got := range p.other.requests() {
		names = append(names, got.uri[strings.Index(got.uri, "?n=")+3:])
		if got.body != "body" || got.header.Get("X-Pushgate-Mirror") != "1" || got.header.Get("X-Forwarded-For") != "127.0.0.1" || got.header.Get("Via") != "" {
			t.Errorf("copy %q", got)
		}
	}
	if got, want := strings.Join(names, " "), "text-post batch&binaryMode=true api&answer=text client"; got != want {
		t.Errorf("copied %s, want %s", got, want)
	}
}

// TestProxyRefuses: what is too large, may mean two paths, or goes in a circle does not reach the
// primary.
func TestProxyRefuses(t *testing.T) {
	p := startProxy(t, nil)
	for target, c := range map[string]struct{ size, status int }{
		"/bitrix/pub/":          {1001, 413},
		"/bitrix/api/":          {4001, 413},
		"/bitrix/rest/":         {1 << 40, 413}, // announced
		"/bitrix/pub/../rest/":  {1, 404},
		"/bitrix/%2e%2e/x/":     {1, 404},
		"/bitrix/pub/?a=1&b=..": {1000, 200},
		"/bitrix/api/?a=1":      {4000, 200},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, c.size, strings.Repeat("x", min(c.size, 5000)))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != c.status {
			t.Errorf("%s: %v %v, want %d", target, answer, err, c.status)
		}
		conn.Close()
	}
	if n := len(p.primary.requests()); n != 2 {
		t.Errorf("%d requests reached the primary", n)
	}
	chunked := io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))) // of no known length
	answer, err := http.Post(p.url+"/bitrix/pub/", "", chunked)
	if err != nil || answer.StatusCode != 413 {
		t.Errorf("chunked: %v %v", answer, err)
	} else {
		answer.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestProxyIsNoLoop: a primary that sends requests back gets an error.
func TestProxyIsNoLoop(t *testing.T) {
	var back string
	p := startProxy(t, func(w http.ResponseWriter, r *http.Request) {
		answer, _ := send(t, "POST", back+r.RequestURI, "body", "Via", r.Header.Get("Via"))
		w.WriteHeader(answer.StatusCode)
	})
	back = p.url
	if answer, _ := send(t, "POST", p.url+"/bitrix/pub/", "body"); answer.StatusCode != http.StatusLoopDetected {
		t.Error(answer.Status)
	}
}

// TestProxyHidesNoFault: where the primary does not answer, the portal gets no answer either, as
// without a proxy, and nothing is copied.
func TestProxyHidesNoFault(t *testing.T) {
	p := startProxy(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 2 {
		r, err := http.NewRequest("POST", p.url+"/bitrix/pub/", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if !errors.Is(err, io.EOF) {
			t.Errorf("%v %v", answer, err)
		}
		p.primary.Close()
	}
	p.drain()
	if n := len(p.other.requests()); n != 0 {
		t.Errorf("%d copies", n)
	}
}

// TestProxyGoesOnAfterTheClientHasGone: portals hang up without waiting for the answer.
func TestProxyGoesOnAfterTheClientHasGone(t *testing.T) {
	primary := record(t, nil)
	registry := prometheus.NewRegistry()
	m := New(Config{URL: address(t, "http://other.example.com")}, registry)
	p := newProxy(address(t, primary.URL), 1000, m, registry)
	defer p.close()
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "POST", "/bitrix/pub/?CHANNEL_ID=x", strings.NewReader("body")))
	if copies, _, _ := m.queue.state(); copies != 1 || len(primary.requests()) != 1 {
		t.Errorf("%d requests, %d copies", len(primary.requests()), copies)
	}
}

// TestChannelsOfAPost: the order of posts depends on the channels that they name.
func TestChannelsOfAPost(t *testing.T) {
	a, b := madeUp(1), madeUp(2)
	signature := "." + strings.Repeat("0", 40)
	for _, c := range []struct {
		target, body string
		want         []channel.ID
	}{
		{"/bitrix/pub/?CHANNEL_ID=" + a.String(), "{}", []channel.ID{a}},
		{"/bitrix/pub?CHANNEL_ID=" + a.String() + "%2F" + b.String() + signature, "{}", []channel.ID{a, b}},
		{"/pub/?CHANNEL_ID=" + strings.Repeat("Z", 32), "{}", []channel.ID{first(channel.Parse(strings.Repeat("Z", 32)))}},
		{"/bitrix/pub/?binaryMode=true&hostname=x", batch(t, b), []channel.ID{b}},
		{"/bitrix/rest/?CHANNEL_ID=" + a.String() + signature, batch(t, b), []channel.ID{b}},
		{"/bitrix/pub/?CHANNEL_ID=zz", "{}", nil},
		{"/bitrix/pub/?binaryMode=true", "\xff", nil},
		{"/bitrix/api/?CHANNEL_ID=" + a.String(), "[]", nil},
		{"/bitrix/pub/", "{}", nil},
	} {
		if got := channelsOf(address(t, c.target), []byte(c.body)); fmt.Sprint(got) != fmt.Sprint(c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.target, got, c.want)
		}
	}
}

func first(id channel.ID, _ error) channel.ID { return id }

// FuzzChannelsOfAPost: whatever is posted, the channels can be asked for.
func FuzzChannelsOfAPost(f *testing.F) {
	f.Add("CHANNEL_ID="+madeUp(1).String(), []byte("{}"))
	f.Add("binaryMode=true", []byte{10, 2, 10, 0})
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		before := bytes.Clone(body)
		if ids := channelsOf(&url.URL{Path: "/bitrix/pub/", RawQuery: query}, body); len(ids) > 2*maxParts || !bytes.Equal(before, body) {
			t.Errorf("%d channels", len(ids))
		}
	})
}

// TestForwardedSurvivesTheProxy: the primary, and the server of the copies, see from where a proxy
// in front says that a post came, whatever its sender writes into Connection. A publisher would
// believe the post otherwise, because it trusts the address of this proxy.
func TestForwardedSurvivesTheProxy(t *testing.T) {
	p := startProxy(t, nil)
	for _, connection := range []string{"close", "Forwarded, X-Real-IP, X-Forwarded-For, close"} {
		send(t, "POST", p.url+"/bitrix/pub/?CHANNEL_ID=a", "body", "Connection", connection, "Forwarded", "for=198.51.100.7", "X-Real-Ip", "198.51.100.8", "X-Forwarded-For", "198.51.100.9")
	}
	p.drain()
	got := append(p.primary.requests(), p.other.requests()...)
	if len(got) != 4 {
		t.Fatalf("%d requests", len(got))
	}
	for _, r := range got {
		if names := fmt.Sprint(r.header["Forwarded"], r.header["X-Real-Ip"], r.header["X-Forwarded-For"]); names != "[for=198.51.100.7] [198.51.100.8] [198.51.100.9, 127.0.0.1]" {
			t.Errorf("%s (copy %q)", names, r.header.Get("X-Pushgate-Mirror"))
		}
	}
}

// TestProxyOfOneServer: a proxy whose mirror is its primary, or itself, would double every post.
func TestProxyOfOneServer(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end() // a proxy that starts ends at once
	one, other := address(t, "http://127.0.0.1:9"), address(t, "http://127.0.0.1:1")
	for _, o := range []Options{{Primary: one, Mirror: one}, {Listen: "127.0.0.1:9", Primary: other, Mirror: one}, {Primary: other, Mirror: address(t, "http://"+DefaultListen)}} {
		if err := Run(ended, o); err == nil {
			t.Errorf("started with %+v", o)
		}
	}
}
