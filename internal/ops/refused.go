package ops

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// refused counts the requests that no handler ever sees, because net/http refuses them or gives them up: heads that are no HTTP, too
// long, or too slow. net/http tells nobody of them.
type refused struct {
	counter prometheus.Counter
	unheard sync.Map // of net.Conn: connections on which something has come that no handler has been given
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

func newRefused(registry prometheus.Registerer) *refused {
	return &refused{counter: RefusedHeads(registry)}
}

// RefusedHeads returns the counter of requests that no handler has seen. It may be called several times
// with the same registry: an edge counts what it refuses itself.
func RefusedHeads(registry prometheus.Registerer) prometheus.Counter {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_http_refused_total",
		Help: "Requests that were no HTTP, or whose head was too long, too slow or broken off."})
	if err := registry.Register(counter); err != nil {
		var before prometheus.AlreadyRegisteredError
		if !errors.As(err, &before) {
			panic(err) // as MustRegister does
		}
		return before.ExistingCollector.(prometheus.Counter)
	}
	return counter
}

// watch has the requests of a server counted, and connections closed after which a proxy may see other requests than net/http does. Whoever was
// told of the states of connections still is.
func (r *refused) watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	tell := server.ConnState
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if tell != nil {
			tell(conn, state)
		}
		switch state {
		case http.StateActive: // told when a head has been read, or found bad
			r.unheard.Store(conn, nil)
		case http.StateClosed:
			if _, ok := r.unheard.LoadAndDelete(conn); ok {
				r.counter.Inc()
			}
		}
	}
	heard := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.unheard.Delete(request.Context().Value(connKey{}))
		if len(request.TransferEncoding) > 0 {
			// It may have had a length too, which net/http passes over in silence: then it must be the last one (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		heard.ServeHTTP(w, request)
	})
}
