package publisher

import (
	"cmp"
	"context"
	"net/http"

	"pushgate/internal/tracing"
)

// traced returns a handler whose posts may become traces; the handler itself if tracing is off.
func (p *Publisher) traced(route string, handler http.HandlerFunc) http.HandlerFunc {
	if p.config.Tracer == nil {
		return handler
	}
	return func(w http.ResponseWriter, r *http.Request) {
		post := p.config.Tracer.Begin(route)
		answer := &statusWriter{ResponseWriter: w}
		defer func() { post.End(cmp.Or(answer.status, http.StatusOK)) }()
		handler(answer, r.WithContext(tracing.WithPost(r.Context(), post)))
	}
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// sample decides whether an authorized post of a portal is traced.
func (t *tenant) sample(r *http.Request) {
	if t.publisher.config.Tracer == nil {
		return
	}
	parent := ""
	if values := r.Header["Traceparent"]; len(values) == 1 {
		parent = values[0]
	}
	tracing.PostOf(r.Context()).Sample(t.Name(), parent)
}

// sampleClient decides whether a post of a client is traced, whatever its header says.
func (t *tenant) sampleClient(r *http.Request) {
	if t.publisher.config.Tracer != nil {
		tracing.PostOf(r.Context()).Sample(t.Name(), "")
	}
}

// detached returns a context for carrying out a post whose sender may hang up: of that of its
// request, it keeps the trace alone.
func (p *Publisher) detached(r *http.Request) context.Context {
	if p.config.Tracer == nil {
		return context.Background()
	}
	return tracing.WithPost(context.Background(), tracing.PostOf(r.Context()))
}

// whyNot returns the label of the refusal for an error of the log; "" if there is no error.
func whyNot(err error) string {
	if err == nil {
		return ""
	}
	return failure(err).label
}
