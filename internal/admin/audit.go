package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"pushgate/internal/proto"
)

// longestWhom bounds what an entry of the audit log says, in bytes.
const longestWhom = 200

// audited serves an act and writes it to the audit log. The act is not refused when Redis is away:
// then an operator needs it most. It is always in the log of the process, at any level.
func (g *Guard) audited(w http.ResponseWriter, r *http.Request, route Route, caller Caller) {
	to := target{process: g.cfg.Process}
	r = r.WithContext(context.WithValue(r.Context(), targetKey{}, &to))
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	ended := false
	defer func() {
		result, counter := "done", g.metrics.done
		if !ended { // it panics
			answer.status = http.StatusInternalServerError
		}
		if answer.status >= 400 {
			result, counter = fmt.Sprint("failed ", answer.status), g.metrics.failed
		}
		counter.Inc()
		g.record(r.Context(), proto.Act{At: time.Now().UTC().Truncate(time.Millisecond), Who: caller.Name, From: caller.From, Process: to.process,
			What: route.Audit, Whom: redact(to.whom), Result: result})
	}()
	route.Handler.ServeHTTP(answer, r)
	ended = true
}

func (g *Guard) record(ctx context.Context, act proto.Act) {
	level := max(slog.LevelInfo, g.cfg.Level.Level()) // nobody hides by setting it
	g.cfg.Logger.Log(ctx, level, "act by the admin port", "who", act.Who, "from", act.From, "what", act.What, "whom", act.Whom, "process", act.Process, "result", act.Result)
	// Also if the client hangs up.
	if err := g.cfg.Audit.RecordAct(context.WithoutCancel(ctx), act); err != nil {
		g.metrics.lost.Inc()
		g.cfg.Logger.Error("act not written to the audit log", "error", err)
	}
}

// secretive matches what may be a channel id, a signature, a token or a part of one.
var secretive = regexp.MustCompile(`[0-9A-Za-z+/=]{24,}`)

// redact shortens what may be secret, and the whole.
func redact(text string) string {
	text = secretive.ReplaceAllStringFunc(text, func(part string) string { return part[:6] + "…" })
	if len(text) > longestWhom {
		text = text[:longestWhom] + "…"
	}
	return text
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets an [http.ResponseController] reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
