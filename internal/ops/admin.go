package ops

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminHandler serves the admin port: GET /livez is answered 200 while the process runs; /readyz is
// answered 200, or 503 with the error that ready returns; /metrics has the metrics of registry in
// Prometheus' format.
func AdminHandler(ready func() error, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ok")
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

// boundedTo returns a function for [http.Server.ConnState] that closes each new connection if most
// others are open.
func boundedTo(most int64) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > most {
				conn.Close()
			}
		case http.StateClosed:
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
	server := newServer(AdminHandler(ready, s.Admin.Registry), s.Logger)
	server.ConnState = boundedTo(maxAdminConnections)
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
