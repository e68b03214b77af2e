package admin

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
)

const (
	mostBody = 4 << 10 // bytes of a request
	mostActs = 1000    // entries of the audit log in one answer
	home     = "/admin/"
)

// own returns the routes that every process has.
func (g *Guard) own() []Route {
	return []Route{
		{"GET /admin/login", Open, http.HandlerFunc(g.form), ""},
		{"POST /admin/login", Open, http.HandlerFunc(g.login), ""},
		{"POST /admin/logout", Open, http.HandlerFunc(g.logout), ""},
		{"GET /admin/whoami", View, http.HandlerFunc(g.whoami), ""},
		{"GET /admin/config", View, http.HandlerFunc(g.config), ""},
		{"GET /admin/audit", View, http.HandlerFunc(g.acts), ""},
		{"GET /admin/processes", Open, http.HandlerFunc(g.processes), ""},
		{"GET /admin/log-level", View, http.HandlerFunc(g.logLevel), ""},
		{"PUT /admin/log-level", Act, http.HandlerFunc(g.setLogLevel), "log-level"},
		{"POST /admin/drain", Act, http.HandlerFunc(g.drain), "drain"},
		{"POST /admin/rebalance", Act, http.HandlerFunc(g.rebalance), "rebalance"},
		{"GET /debug/pprof/", Act, profile(pprof.Index), "pprof"},
		{"GET /debug/pprof/cmdline", Act, profile(pprof.Cmdline), "pprof"},
		{"GET /debug/pprof/profile", Act, profile(pprof.Profile), "pprof"},
		{"GET /debug/pprof/symbol", Act, profile(pprof.Symbol), "pprof"},
		{"GET /debug/pprof/trace", Act, profile(pprof.Trace), "pprof"},
	}
}

// Answer writes a value as JSON, as all answers of the port are.
func Answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func (g *Guard) whoami(w http.ResponseWriter, r *http.Request) {
	caller := CallerOf(r)
	Answer(w, http.StatusOK, struct {
		Caller
		Role    string `json:"role"`
		Process string `json:"process"`
	}{caller, caller.Role.String(), g.cfg.Process})
}

func (g *Guard) acts(w http.ResponseWriter, r *http.Request) {
	n := 100
	if text := r.URL.Query().Get("count"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > mostActs {
			Refuse(w, http.StatusBadRequest, "count must be a number from 1 to "+strconv.Itoa(mostActs)+".")
			return
		}
	}
	acts, err := g.cfg.Audit.Acts(r.Context(), n)
	if err != nil {
		g.cfg.Logger.Error("audit log not read", "error", err)
		Refuse(w, http.StatusServiceUnavailable, "The audit log is in Redis, which does not answer; the logs of the processes have the acts, too.")
		return
	}
	Answer(w, http.StatusOK, map[string]any{"acts": acts})
}

// profile names the profile for the audit log.
func profile(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetWhom(r, strings.TrimPrefix(r.URL.Path, "/debug/pprof/"))
		handler(w, r)
	})
}
