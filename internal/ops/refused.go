package ops

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// refused counts the requests that no handler sees, because net/http refuses them or gives up: the
// head is not HTTP, or too long, or too slow. net/http does not report them.
type refused struct {
	counter prometheus.Counter
	unheard sync.Map // of net.Conn: connections with a request that has not reached a handler
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

func newRefused(registry prometheus.Registerer) *refused {
	return &refused{counter: RefusedHeads(registry)}
}

// RefusedHeads returns the counter of requests that no handler has seen. It may be called several
// times with the same registry, because an edge counts what it refuses itself.
func RefusedHeads(registry prometheus.Registerer) prometheus.Counter {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_http_refused_total",
		Help: "Requests that were not HTTP, or whose head was too long, too slow or incomplete."})
	if err := registry.Register(counter); err != nil {
		var before prometheus.AlreadyRegisteredError
		if !errors.As(err, &before) {
			panic(err) // as MustRegister does
		}
		return before.ExistingCollector.(prometheus.Counter)
	}
	return counter
}

// watch makes a server count the requests that it refuses. It also closes a connection after a
// request that a proxy may have read differently from net/http. A ConnState function that the
// server already has is still called.
func (r *refused) watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	next := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if next != nil {
			next(conn, state)
		}
		switch state {
		case http.StateActive: // reported when a head has been read, or found bad
			r.unheard.Store(conn, nil)
		case http.StateClosed:
			if _, ok := r.unheard.LoadAndDelete(conn); ok {
				r.counter.Inc()
			}
		}
	}
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.unheard.Delete(request.Context().Value(connKey{}))
		if len(request.TransferEncoding) > 0 {
			// The request may have a Content-Length too, which net/http ignores without a trace.
			// Then it must be the last one on its connection (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, request)
	})
}
