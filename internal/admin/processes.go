package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pushgate/internal/fleet"
)

// Process is what a process says about itself to operators. A number that is not known is -1.
type Process struct {
	ID               string `json:"id"`
	Kind             string `json:"kind"` // edge, publisher or serve
	Version          string `json:"version"`
	Commit           string `json:"commit"`
	Host             string `json:"host"` // name of the machine
	PID              int    `json:"pid"`
	Started          int64  `json:"started"` // unix ms
	Memory           int64  `json:"memory_bytes"`
	Goroutines       int    `json:"goroutines"`
	Descriptors      int    `json:"descriptors"` // open now
	DescriptorsLimit int    `json:"descriptors_limit"`
	Ready            bool   `json:"ready"`
	Reason           string `json:"reason,omitempty"` // why it is not ready
	Draining         bool   `json:"draining"`
	LogLevel         string `json:"log_level"`

	Connections Connections `json:"connections"`
	Channels    int         `json:"channels"` // that have a subscriber here
	// Its clock minus that of Redis; nil if that is not known.
	Clock *int64 `json:"clock_ms,omitempty"`
}

// Connections are how many subscribers a process has, by transport.
type Connections struct {
	WebSocket int `json:"websocket"`
	Poll      int `json:"poll"`
	Stream    int `json:"stream"`
}

// The questions that processes ask one another about themselves.
const (
	askStatus      = "status"
	askConfig      = "config"
	askLogLevel    = "log-level"
	askSetLogLevel = "set-log-level"
	askDrain       = "drain"
)

// Rebalance is the question by which a process is asked to move connections to others. It is for
// those that have connections to handle it.
const Rebalance = "rebalance"

// statusLife is how old the list of processes may be. However many ask for it, the processes are
// asked once in this time.
const statusLife = time.Second

// handle makes this process answer the questions about it. Who may ask them has been decided by
// the process that asks.
func (g *Guard) handle(f *fleet.Fleet) {
	f.Handle(askStatus, func(context.Context, fleet.Question) (any, error) {
		if g.cfg.Status == nil {
			return nil, errors.New("the process does not say how it is")
		}
		return g.cfg.Status(), nil
	})
	f.Handle(askConfig, func(context.Context, fleet.Question) (any, error) {
		return map[string]any{"process": g.cfg.Process, "settings": g.cfg.Settings}, nil
	})
	f.Handle(askLogLevel, func(context.Context, fleet.Question) (any, error) { return g.level(), nil })
	f.Handle(askSetLogLevel, func(ctx context.Context, q fleet.Question) (any, error) {
		level, known := parseLevel(q.Body)
		if !known {
			return nil, errLevel
		}
		g.cfg.Level.Set(level)
		g.cfg.Logger.Log(ctx, max(slog.LevelInfo, level), "log level set", "who", q.Caller, "level", levelName(level))
		return g.level(), nil
	})
	f.Handle(askDrain, func(_ context.Context, q fleet.Question) (any, error) {
		g.cfg.Drain(q.Caller)
		return map[string]string{"process": g.cfg.Process, "state": "draining"}, nil
	})
}

// processList is the answer of GET /admin/processes.
type processList struct {
	Now       int64             `json:"now"` // unix ms
	Self      string            `json:"self"`
	Processes []json.RawMessage `json:"processes"`
	Silent    []string          `json:"silent"`
	Error     string            `json:"error,omitempty"`
}

// askProcesses asks all processes how they are.
func (g *Guard) askProcesses(ctx context.Context, _ struct{}) processList {
	answers, err := g.cfg.Fleet.Ask(ctx, askStatus, "", nil)
	list := processList{Now: time.Now().UnixMilli(), Self: g.cfg.Process, Processes: []json.RawMessage{}, Silent: append([]string{}, answers.Silent...)}
	if err != nil {
		g.cfg.Logger.Debug("processes not asked", "error", err)
		list.Error = "Only this process is shown: the others are asked by Redis, which does not answer."
	}
	for _, a := range answers.Answers {
		if a.Err != "" {
			list.Silent = append(list.Silent, a.Process)
			continue
		}
		list.Processes = append(list.Processes, a.Body)
	}
	return list
}

func (g *Guard) processes(w http.ResponseWriter, r *http.Request) {
	list, err := g.status.Get(r.Context(), struct{}{})
	if err != nil {
		return // the client has hung up
	}
	Answer(w, http.StatusOK, list)
}

// longestProcess bounds the id of a process, in bytes.
const longestProcess = 128

// isProcess reports whether a text can be the id of a process.
func isProcess(text string) bool {
	return text != "" && len(text) <= longestProcess && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// forward asks the process that a request names, or this one if it names none, and answers with
// what it says.
func (g *Guard) forward(w http.ResponseWriter, r *http.Request, status int, question string, body any) {
	process := g.cfg.Process
	if r.URL.Query().Has("process") {
		if process = r.URL.Query().Get("process"); !isProcess(process) {
			Refuse(w, http.StatusBadRequest, "process must be the id of a process, as GET /admin/processes has it.")
			return
		}
	}
	SetProcess(r, process)
	answers, err := g.cfg.Fleet.Ask(r.Context(), question, CallerOf(r).Name, body, process)
	switch {
	case len(answers.Answers) > 0 && answers.Answers[0].Err == "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(append(answers.Answers[0].Body, '\n'))
	case len(answers.Answers) > 0:
		Refuse(w, http.StatusBadGateway, "The process answers: "+answers.Answers[0].Err)
	case err != nil:
		g.cfg.Logger.Warn("process not asked", "process", process, "question", question, "error", err)
		Refuse(w, http.StatusServiceUnavailable, "Other processes are asked by Redis, which does not answer. Use the admin port of the process itself.")
	default:
		Refuse(w, http.StatusGatewayTimeout, "No process with this id answers. It may have ended, or be too busy.")
	}
}

func (g *Guard) config(w http.ResponseWriter, r *http.Request) {
	g.forward(w, r, http.StatusOK, askConfig, nil)
}

func (g *Guard) logLevel(w http.ResponseWriter, r *http.Request) {
	g.forward(w, r, http.StatusOK, askLogLevel, nil)
}

func (g *Guard) setLogLevel(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody)).Decode(&body)
	level, known := parseLevel(body)
	if err != nil || !known {
		Refuse(w, http.StatusBadRequest, `The body must be {"level": "debug"}, or with info, warn or error.`)
		return
	}
	SetWhom(r, levelName(level))
	g.forward(w, r, http.StatusOK, askSetLogLevel, body)
}

func (g *Guard) drain(w http.ResponseWriter, r *http.Request) {
	g.forward(w, r, http.StatusAccepted, askDrain, nil)
}

func (g *Guard) rebalance(w http.ResponseWriter, r *http.Request) {
	g.forward(w, r, http.StatusAccepted, Rebalance, nil)
}

var errLevel = errors.New("unknown log level")

// parseLevel returns the level that a body names.
func parseLevel(body []byte) (level slog.Level, known bool) {
	var wanted struct {
		Level string `json:"level"`
	}
	if json.Unmarshal(body, &wanted) != nil {
		return 0, false
	}
	level, known = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[wanted.Level]
	return level, known
}

func levelName(level slog.Level) string { return strings.ToLower(level.String()) }

func (g *Guard) level() map[string]string {
	return map[string]string{"level": levelName(g.cfg.Level.Level())}
}

// Refuse answers with an error, a sentence that says what to do.
func Refuse(w http.ResponseWriter, status int, sentence string) {
	Answer(w, status, map[string]string{"error": sentence})
}
