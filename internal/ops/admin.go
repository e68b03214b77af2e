package ops

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminHandler serves the admin port: GET /livez is answered 200 while the process runs; /readyz is
// answered 200, or 503 with the error that ready returns, and with ?verbose the lines of details
// follow; /metrics has the metrics of registry in Prometheus' format. details may be nil.
func AdminHandler(ready func() error, details func() []string, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, lines := http.StatusOK, []string{"ok"}
		if err := ready(); err != nil {
			status, lines = http.StatusServiceUnavailable, []string{err.Error()}
		}
		if r.URL.Query().Has("verbose") && details != nil {
			lines = append(lines, details()...)
		}
		say(w, status, strings.Join(lines, "\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

// maxAdminConnections is how many connections the admin port has at a time. It is several times
// what Prometheus, probes and people need, and a small part of the descriptors that
// [MaxConnections] leaves free.
const maxAdminConnections = 64

// Bound makes a server close each new connection while it has most others. A hijacked connection is
// not counted. It must be called before the server serves.
func Bound(server *http.Server, most int64) {
	var open atomic.Int64
	tell := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if tell != nil {
			tell(conn, state)
		}
		switch state {
		case http.StateNew:
			if open.Add(1) > most {
				conn.Close()
			}
		case http.StateHijacked, http.StateClosed:
			open.Add(-1)
		}
	}
}

// adminPort is the admin listener of a service and its server; the zero value has neither.
type adminPort struct {
	listener net.Listener
	server   *http.Server
	closed   atomic.Bool
}

func (s Service) listenAdmin(draining *atomic.Bool) (*adminPort, error) {
	if s.Admin.Listen == "" {
		return &adminPort{}, nil
	}
	listener, err := s.Bind(s.Admin.Listen)
	if err != nil {
		return nil, err
	}
	ready := func() error {
		switch {
		case draining.Load():
			return errDraining
		case s.Ready == nil:
			return nil
		default:
			return s.Ready()
		}
	}
	server := newServer(AdminHandler(ready, s.Admin.Details, s.Admin.Registry), s.Logger)
	Bound(server, maxAdminConnections)
	return &adminPort{listener: listener, server: server}, nil
}

func (a *adminPort) serve(parts *sync.WaitGroup, fail func(error)) {
	if a.listener == nil {
		return
	}
	parts.Go(func() {
		if err := a.server.Serve(a.listener); !a.closed.Load() {
			fail(err)
		}
	})
}

func (a *adminPort) close() {
	a.closed.Store(true)
	if a.server != nil {
		a.server.Close()
	}
}

// addr returns the address of the port, or nil if there is none.
func (a *adminPort) addr() net.Addr {
	if a.listener == nil {
		return nil
	}
	return a.listener.Addr()
}

// name returns the address of the port for a log line.
func (a *adminPort) name() string {
	if a.listener == nil {
		return "none"
	}
	return a.listener.Addr().String()
}
