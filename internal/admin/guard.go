package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/fleet"
	"pushgate/internal/hostname"
	"pushgate/internal/loglimit"
	"pushgate/internal/memo"
	"pushgate/internal/proto"
)

// Role is what somebody may do. A higher one includes the lower ones.
type Role int

const (
	Open Role = iota // whoever reaches the admin port
	View             // see what concerns single users, and the settings
	Act              // change something, or cost the process something
)

// String returns the name of a role, as in the settings.
func (r Role) String() string { return [...]string{"open", "view", "act"}[r] }

// Token says who has a role, and by which secret.
type Token struct {
	Name   string
	Role   Role // View or Act
	Secret string
}

// Caller is who makes a request.
type Caller struct {
	Name string `json:"name"`
	Role Role   `json:"-"`
	From string `json:"from"` // address
}

// Route is a path of the admin port.
type Route struct {
	Pattern string // of [http.ServeMux], with a method
	Role    Role   // the least role that may use it
	// Handler serves those who may. [CallerOf] returns who asks. A handler that audits calls
	// [SetWhom]. It may replace the headers that are set for its protection, such as
	// Content-Security-Policy.
	Handler http.Handler
	// Audit is what the audit log calls the act. A route without it is not audited; one of role Act
	// must have it.
	Audit string
}

// AuditLog keeps what was done. Its methods are called concurrently.
type AuditLog interface {
	RecordAct(ctx context.Context, act proto.Act) error
	Acts(ctx context.Context, n int) ([]proto.Act, error) // the newest n, the newest first
}

// Config is what a [Guard] needs. Hosts and Routes may be empty; so may Tokens, and then nobody has
// a role.
type Config struct {
	Process string // its id
	Tokens  []Token
	Hosts   []string // patterns of host names, as [hostname.Allowed] takes them
	Audit   AuditLog
	Level   *slog.LevelVar // the log level of the process
	Logger  *slog.Logger
	// Fleet asks the other processes. Nil: only this one is known.
	Fleet *fleet.Fleet
	// Status says how the process is. It is called concurrently.
	Status func() Process
	// Settings are what GET /admin/config answers, as JSON. They must be redacted.
	Settings any
	Drain    func(who string) // makes the process leave, as SIGTERM does; must not wait for it
	Routes   []Route          // of other packages
}

// Guard decides who may use which route of the admin port. Its methods may be called concurrently.
type Guard struct {
	cfg     Config // immutable
	tokens  []secret
	origins *http.CrossOriginProtection
	status  *memo.Memo[struct{}, processList]
	guesses guesses
	metrics metrics
	refused loglimit.Limiter
}

// NewGuard makes a guard, whose metrics are registered with registry, and makes the fleet answer
// questions about this process. It panics if a route of role Act is not audited.
func NewGuard(cfg Config, registry prometheus.Registerer) *Guard {
	g := &Guard{cfg: cfg, origins: http.NewCrossOriginProtection(), metrics: newMetrics(registry)}
	for _, token := range cfg.Tokens {
		g.tokens = append(g.tokens, newSecret(token))
	}
	if g.cfg.Fleet == nil {
		g.cfg.Fleet = fleet.New(nil, cfg.Process, cfg.Logger)
	}
	g.handle(g.cfg.Fleet)
	g.status = memo.New(1, statusLife, 2*fleet.DefaultWait, g.askProcesses)
	g.cfg.Routes = append(g.own(), cfg.Routes...)
	for _, route := range g.cfg.Routes {
		if route.Role == Act && route.Audit == "" {
			panic("admin: " + route.Pattern + " is not audited")
		}
	}
	return g
}

func (g *Guard) register(mux *http.ServeMux) {
	for _, route := range g.cfg.Routes {
		mux.Handle(route.Pattern, g.protect(route))
	}
}

type (
	callerKey struct{}
	targetKey struct{}
)

// target is to what an audited request does something.
type target struct{ whom, process string }

// CallerOf returns who makes a request that a [Guard] has let through. Without a token, it only has
// an address.
func CallerOf(r *http.Request) Caller {
	caller, _ := r.Context().Value(callerKey{}).(Caller)
	return caller
}

// SetWhom says for the audit log to whom or to what an audited request does something, in a few
// words. Channel ids and the like may be in it: they are shortened. It must be called by the
// goroutine of the handler.
func SetWhom(r *http.Request, whom string) {
	if t, ok := r.Context().Value(targetKey{}).(*target); ok {
		t.whom = whom
	}
}

// SetProcess says for the audit log to which process an audited request does something; without it,
// it is the one of the admin port. It must be called by the goroutine of the handler.
func SetProcess(r *http.Request, process string) {
	if t, ok := r.Context().Value(targetKey{}).(*target); ok {
		t.process = process
	}
}

// protect returns the handler of a route for everybody.
func (g *Guard) protect(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // with none, the form would have no Origin
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if !hostname.Allowed(r.Host, g.cfg.Hosts) {
			g.refuse(w, r, wrongHost, 0)
			return
		}
		caller := Caller{From: clientAddress(r)}
		if route.Role > Open {
			var no *refusal
			var wait time.Duration
			if caller, no, wait = g.identify(w, r); no != nil {
				g.refuse(w, r, no, wait)
				return
			}
			if caller.Role < route.Role {
				g.refuse(w, r, wrongRole, 0)
				return
			}
		} else if g.origins.Check(r) != nil {
			g.refuse(w, r, crossSite, 0)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, caller))
		if route.Audit == "" {
			route.Handler.ServeHTTP(w, r)
			return
		}
		g.audited(w, r, route, caller)
	})
}

// clientAddress returns the address of a client: that of the peer, or what a proxy on this machine
// says. Whoever forges it is only paced as somebody else, and is another address in the audit log.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "local" // a unix socket
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && !addr.Unmap().IsLoopback() {
		return addr.Unmap().WithZone("").String()
	}
	if values := r.Header["X-Forwarded-For"]; len(values) > 0 {
		last := values[len(values)-1]
		if addr, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
			return addr.Unmap().WithZone("").String()
		}
	}
	return host
}
