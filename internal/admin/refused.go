package admin

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is a reason not to serve a request: the label of its counter, and the answer.
type refusal struct {
	label  string
	status int
	text   string
}

// The refusals.
var (
	noTokens = &refusal{"no_tokens", http.StatusForbidden,
		"This needs a token, and this process has none: set PUSHGATE_ADMIN_TOKENS and restart it."}
	noToken = &refusal{"no_token", http.StatusUnauthorized,
		"This needs a token of PUSHGATE_ADMIN_TOKENS: as Authorization: Bearer TOKEN, or log in at /admin/login."}
	wrongToken = &refusal{"wrong_token", http.StatusUnauthorized, "The token or cookie is none of PUSHGATE_ADMIN_TOKENS."}
	paced      = &refusal{"paced", http.StatusTooManyRequests, "The token or cookie is none of PUSHGATE_ADMIN_TOKENS, and there were too many wrong ones."}
	wrongRole  = &refusal{"role", http.StatusForbidden, "This needs a token with the role act in PUSHGATE_ADMIN_TOKENS."}
	crossSite  = &refusal{"cross_site", http.StatusForbidden, "The request comes from a page of another site."}
	wrongHost  = &refusal{"host", http.StatusForbidden,
		"The admin port is not known by this host name: use an address or localhost, or name it in PUSHGATE_ADMIN_HOSTS."}
)

// count counts a refusal, and logs guesses.
func (g *Guard) count(r *http.Request, no *refusal) {
	g.metrics.refused[no].Inc()
	if no == wrongToken || no == paced {
		if times, due := g.refused.Count(time.Now()); due {
			g.cfg.Logger.Warn("wrong tokens at the admin port", "times", times, "last_from", clientAddress(r))
		}
	}
}

// refuse answers with a refusal and counts it. wait is when to try again.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, no *refusal, wait time.Duration) {
	g.count(r, no)
	switch no.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	Refuse(w, no.status, no.text)
}

// metrics count what the guard decides.
type metrics struct {
	refused map[*refusal]prometheus.Counter
	done    prometheus.Counter
	failed  prometheus.Counter
	lost    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) metrics {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_admin_refused_total",
		Help: "Requests to the parts of the admin port that need a token which were refused, by reason; wrong_token and paced are guesses."}, []string{"reason"})
	acts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pushgate_admin_acts_total",
		Help: "Acts by the admin port, by result."}, []string{"result"})
	m := metrics{refused: make(map[*refusal]prometheus.Counter), done: acts.WithLabelValues("done"), failed: acts.WithLabelValues("failed"),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "pushgate_admin_audit_failures_total",
			Help: "Acts that could not be written to the audit log in Redis; they are in the log of the process."})}
	for _, no := range []*refusal{noTokens, noToken, wrongToken, paced, wrongRole, crossSite, wrongHost} {
		m.refused[no] = refused.WithLabelValues(no.label)
	}
	registry.MustRegister(refused, acts, m.lost)
	return m
}
