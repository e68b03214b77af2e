package mirror

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/proto"
	"pushgate/internal/urlpath"
)

const (
	uploadTimeout = 20 * time.Second // for the body of a request to arrive, as in a publisher
	// primaryTimeout bounds a request to the primary. A portal gives up much earlier.
	primaryTimeout = time.Minute
	maxHeld        = 256 << 20 // bytes of the bodies of all requests that are being served
)

// proxy passes requests on to the primary server, returns its answers, and has accepted posts
// copied. It may be used concurrently.
type proxy struct {
	// Immutable.
	mirror     *Mirror
	reverse    *httputil.ReverseProxy
	name       string // in the header Via of what it passes on
	maxPayload int64
	failures   prometheus.Counter

	held atomic.Int64 // bytes of bodies
}

func newProxy(primary *url.URL, maxPayload int64, m *Mirror, reg prometheus.Registerer) *proxy {
	p := &proxy{mirror: m, name: "pushgate-mirror-" + rand.Text(), maxPayload: maxPayload}
	p.failures = prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_mirror_primary_failures_total",
		Help: "Requests that got no answer from the primary server; their connections were closed without one."})
	reg.MustRegister(p.failures)
	dialer := &net.Dialer{Timeout: dialTimeout}
	p.reverse = &httputil.ReverseProxy{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, MaxIdleConnsPerHost: 64,
			IdleConnTimeout: idleTimeout, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = primary.Scheme, primary.Host
			r.Out.Host = r.In.Host
			if primary.User != nil {
				r.Out.Header["Authorization"] = []string{basic(primary.User)}
			}
			if r.In.Header["User-Agent"] == nil {
				r.Out.Header["User-Agent"] = nil // else the transport adds its own
			}
			r.Out.Header["X-Forwarded-For"] = forwardedFor(r.In)
			copySenders(r.Out.Header, r.In.Header)
			r.Out.Header["Via"] = append(slices.Clone(r.In.Header["Via"]), "1.1 "+p.name)
		},
		ModifyResponse: p.answered,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			p.failures.Inc()
			panic(http.ErrAbortHandler) // the portal sees what it would see without a proxy
		},
	}
	return p
}

// inbound is a request as it came, and its body.
type inbound struct {
	request *http.Request
	body    []byte
}

type inboundKey struct{}

// ServeHTTP passes a request on. Its body is read first: it must be whole for the copy.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if urlpath.Ambiguous(r.URL) {
		http.NotFound(w, r)
		return
	}
	if strings.Contains(strings.Join(r.Header["Via"], ","), p.name) {
		http.Error(w, "the primary server sends requests back to this proxy", http.StatusLoopDetected)
		return
	}
	limit := p.maxPayload
	if ofAPI(r.URL) {
		limit *= 4 // as in a publisher: portals of version 5 count characters
	}
	size := r.ContentLength
	if size < 0 {
		size = limit
	}
	if size > limit {
		tooLarge(w)
		return
	}
	defer p.held.Add(-size)
	if p.held.Add(size) > maxHeld {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too much in flight", http.StatusServiceUnavailable)
		return
	}
	// An error means that w has no connection, in tests.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			tooLarge(w)
			return
		}
		panic(http.ErrAbortHandler) // the client has gone, or is too slow
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})

	// A portal may hang up without waiting for the answer; its post goes on.
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(r.Context()), inboundKey{}, inbound{r, body}), primaryTimeout)
	defer cancel()
	out := r.WithContext(ctx)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.TransferEncoding = nil
	// These are as the primary sends them, or absent.
	w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
	p.reverse.ServeHTTP(w, out)
}

func tooLarge(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusRequestEntityTooLarge)
}

// answered has a post copied that the primary has accepted. It passes the answer on as it is.
func (p *proxy) answered(answer *http.Response) error {
	in, ok := answer.Request.Context().Value(inboundKey{}).(inbound)
	if !ok || in.request.Method != http.MethodPost || answer.StatusCode != http.StatusOK {
		return nil
	}
	if !ofAPI(in.request.URL) && hasText(answer) {
		return nil // the post was a question
	}
	p.mirror.Copy(p.mirror.Begin(), in.request, in.body, proto.ID{}, channelsOf(in.request.URL, in.body))
	return nil
}

// hasText reports whether an answer has a body. It reads none of it.
func hasText(answer *http.Response) bool {
	text := bufio.NewReader(answer.Body)
	_, err := text.Peek(1)
	answer.Body = struct {
		io.Reader
		io.Closer
	}{text, answer.Body}
	return err != io.EOF
}

// ofAPI reports whether a request is one of version 5, whose posts are answered with a text.
func ofAPI(u *url.URL) bool {
	return urlpath.Within(u.Path, "/bitrix/api") || urlpath.Within(u.Path, "/api")
}

// close closes the connections that are kept to the primary.
func (p *proxy) close() { p.reverse.Transport.(*http.Transport).CloseIdleConnections() }
