// Package admin serves the admin port of a program: its health and metrics to everybody who reaches
// the port, and the rest to those who have a token.
package admin

import (
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves the admin port: GET /livez is answered 200 while the process runs; /readyz is
// answered 200, or 503 with the error that ready returns, and with ?verbose the lines of details
// follow; /metrics has the metrics of registry in Prometheus' format. These are open. The routes of
// guard come beside them. details and guard may be nil.
func Handler(ready func() error, details func() []string, registry *prometheus.Registry, guard *Guard) http.Handler {
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
	if guard != nil {
		guard.register(mux)
	}
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}
