package ops

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
)

// maxAdminConnections is how many connections the admin port has at a time. It is several times
// what Prometheus, probes and people need, and a small part of the descriptors that
// [MaxConnections] leaves free.
const maxAdminConnections = 64

// Bounds of a request at the admin port, which needs no long ones. Without them, a client that
// sends no body or takes no answer would hold its connection for ever.
const (
	adminBody = 10 * time.Second // of a request, to its end
	// Of the answer, from the head of the request; a profile has more.
	adminAnswer = 30 * time.Second
)

// adminGrace is how long answers of the admin port may take when everything else has ended, such as
// that to who asked for the end.
const adminGrace = time.Second

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

func (s Service) listenAdmin(draining *atomic.Bool, closed prometheus.Counter) (*adminPort, error) {
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
	handler := admin.Handler(ready, s.Admin.Details, s.Admin.Registry, s.Admin.Guard)
	return &adminPort{listener: listener, server: newAdminServer(handler, s.Logger, closed)}, nil
}

// newAdminServer makes a server for the admin port. It counts the connections that it closes
// because there are too many.
func newAdminServer(handler http.Handler, logger *slog.Logger, closed prometheus.Counter) *http.Server {
	server := newServer(handler, logger)
	server.ReadTimeout, server.WriteTimeout = adminBody, adminAnswer
	keepNewest(server, maxAdminConnections, closed)
	return server
}

// newAdminClosed makes the counter of connections that the admin port has closed.
func newAdminClosed() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_admin_connections_closed_total",
		Help: "Connections of the admin port that were closed because it had too many; each had been silent or busy for the longest."})
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
	if a.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminGrace)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
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
