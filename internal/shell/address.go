// Package shell has what an operator does from a shell: it posts as a portal does, subscribes as a
// client does, and reads the log without being a subscriber.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Server is a process, or the nginx before it, that is asked. It may be used concurrently.
type Server struct {
	name   string // for people
	base   *url.URL
	client *http.Client
}

const dialTimeout = 5 * time.Second

// Open returns the server at an address: a URL with a scheme and a host, and perhaps a user and
// password, or unix: and the path of a socket. It does not connect. No redirect is followed: the
// addresses of requests hold signatures.
func Open(u *url.URL) *Server {
	s := &Server{name: u.Host, base: u}
	dialer := net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout}
	if u.Scheme == "unix" {
		s.name, s.base = "unix:"+u.Path, &url.URL{Scheme: "http", Host: "localhost"}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	}
	s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s
}

// Close closes the connections that are kept.
func (s *Server) Close() { s.client.CloseIdleConnections() }

// address returns the URL of a path.
func (s *Server) address(path string, q url.Values) string {
	u := *s.base
	u.User, u.Path, u.RawQuery = nil, path, q.Encode()
	return u.String()
}

// request returns a request, with the user and password of the server's URL.
func (s *Server) request(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.address(path, q), body)
	if err != nil {
		return nil, errors.New("the address of the server is not valid")
	}
	r.Header = s.header()
	return r, nil
}

func (s *Server) header() http.Header {
	r := http.Request{Header: http.Header{}}
	if user := s.base.User; user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
	return r.Header
}

// plain returns err without the address that it happened with, which holds signatures and tokens.
func plain(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Listening returns the first of some addresses (host:port) at which somebody listens, and the
// first one if nobody does.
func Listening(ctx context.Context, addresses ...string) string {
	dialer := net.Dialer{Timeout: time.Second}
	for _, address := range addresses {
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			conn.Close()
			return address
		}
	}
	return addresses[0]
}

// refusal is an answer after which it is of no use to ask again.
type refusal struct {
	text      string
	signature bool // that of a list or a token
}

// Error implements error.
func (r refusal) Error() string { return r.text }

// words returns what a server says in the body of an answer that is no success.
func words(status int, body []byte) string {
	said := strings.TrimSpace(Clean(string(body)))
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if said != "" && !strings.HasPrefix(said, "<") { // not a page of nginx
		text += ": " + said
	}
	return text
}
