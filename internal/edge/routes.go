package edge

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"pushgate/internal/urlpath"
)

// Handler serves the public paths on a server of net/http, from which it takes the connections of
// subscribers over. It is for programs that serve more than subscribers on one port.
func (e *Edge) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.begin() {
			turnAway(w)
			return
		}
		defer e.connections.Done()
		e.front.TakeOver(w, r)
	})
}

// subscribePaths are those for polls and WebSockets, which only the headers of a request tell
// apart. Whatever follows a slash after them is for proxies.
var subscribePaths = []string{"/bitrix/sub", "/bitrix/subws", "/sub", "/subws"}

// streamPaths are those for server-sent events.
var streamPaths = []string{"/bitrix/sse", "/sse"}

// Serves reports whether the path of a URL is one of those for subscribers.
func Serves(u *url.URL) bool {
	within := func(route string) bool { return urlpath.Within(u.Path, route) }
	return slices.ContainsFunc(subscribePaths, within) || slices.ContainsFunc(streamPaths, within)
}

// routes serves the public paths. A path that a proxy may read as another one is not found.
func (e *Edge) routes() http.Handler {
	r := chi.NewRouter()
	handle := func(route string, get http.HandlerFunc) {
		for _, pattern := range []string{route, route + "/*"} {
			r.Get(pattern, e.admitted(get))
			r.Options(pattern, preflight)
		}
	}
	for _, route := range subscribePaths {
		handle(route, e.subscribe)
	}
	for _, route := range streamPaths {
		handle(route, e.stream)
	}
	r.NotFound(notFound)
	r.MethodNotAllowed(notFound)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if urlpath.Ambiguous(request.URL) {
			notFound(w, request)
			return
		}
		r.ServeHTTP(w, request)
	})
}

// admitted calls a handler if the page of a request may subscribe and there is room for one more.
func (e *Edge) admitted(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !e.originAllowed(r):
			e.refuseOrigin(w, r)
		case e.hasRoom(w):
			handler(w, r)
		}
	}
}
