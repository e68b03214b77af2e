package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/fleet"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) {
	logging.Disable() // the tests stop Redis
	testkit.Main(m)
}

const (
	viewToken = "token-of-vera-0123456789"
	actToken  = "token-of-anna-9876543210"
)

// memory is an audit log in memory.
type memory struct {
	mu   sync.Mutex
	acts []proto.Act
	down bool
}

func (m *memory) RecordAct(ctx context.Context, act proto.Act) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || ctx.Err() != nil {
		return errors.New("down")
	}
	m.acts = append([]proto.Act{act}, m.acts...)
	return nil
}

func (m *memory) Acts(_ context.Context, n int) ([]proto.Act, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errors.New("down")
	}
	return m.acts[:min(n, len(m.acts))], nil
}

// world is the admin port of one process.
type world struct {
	t        *testing.T
	handler  http.Handler
	registry *prometheus.Registry
	audit    *memory
	level    *slog.LevelVar
	log      *testkit.Buffer

	mu      sync.Mutex
	drained []string // by whom; guarded by mu if other processes ask
}

func newWorld(t *testing.T, change func(*Config)) *world {
	w := &world{t: t, registry: prometheus.NewRegistry(), audit: new(memory), level: new(slog.LevelVar), log: new(testkit.Buffer)}
	cfg := Config{Process: "edge-0", Tokens: []Token{{"vera", View, viewToken}, {"anna", Act, actToken}}, Hosts: []string{"push.example.com"},
		Audit: w.audit, Level: w.level, Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: w.level})),
		Settings: []string{"a setting"}, Drain: func(who string) { w.mu.Lock(); defer w.mu.Unlock(); w.drained = append(w.drained, who) }}
	if change != nil {
		change(&cfg)
	}
	if cfg.Fleet == nil {
		cfg.Fleet = fleet.New(nil, cfg.Process, slog.New(slog.DiscardHandler))
		cfg.Fleet.Handle(Rebalance, rebalanced(cfg.Process))
	}
	w.handler = Handler(func() error { return nil }, nil, w.registry, NewGuard(cfg, w.registry))
	return w
}

// rebalanced answers as an edge that moves seven connections.
func rebalanced(process string) fleet.Handler {
	return func(context.Context, fleet.Question) (any, error) {
		return map[string]any{"process": process, "moving": 7}, nil
	}
}

// do makes a request to http://127.0.0.1:9100 from 192.0.2.1; header has pairs of name and value.
func (w *world) do(method, path, body string, header ...string) *http.Response {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://127.0.0.1:9100"+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		case "From":
			r.RemoteAddr = header[i+1]
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer.Result()
}

// login returns the value of a Cookie header for a token.
func (w *world) login(token string) string {
	w.t.Helper()
	answer := w.do("POST", "/admin/login", "token="+token, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
		w.t.Fatalf("login: %d, %v", answer.StatusCode, answer.Cookies())
	}
	cookie := answer.Cookies()[0]
	return cookie.Name + "=" + cookie.Value
}

func (w *world) metric(name, label string) float64 {
	w.t.Helper()
	sum, _ := testkit.Metric(w.t, w.registry, name, label)
	return sum
}
