package history

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"pushgate/internal/memo"
)

const (
	answerLife    = 5 * time.Second // of an answer, whoever asks
	answerWait    = 8 * time.Second // in which Redis must answer
	maxAnswers    = 32              // different ones about single processes at a time
	longestString = 128             // bytes of an id of a process
)

// question is what is asked for.
type question struct {
	span    Span
	process string // "" is all together
}

// answer is a view as JSON, or why there is none.
type answer struct {
	text []byte
	err  error
}

// Handler returns the handler of GET /admin/history?span=hour|day&process=ID. Answers are kept for
// some seconds, so that many who ask cost Redis no more than one. Those about all processes
// together have room of their own: nobody needs a token to ask for any number of ids.
func Handler(log Log, logger *slog.Logger) http.Handler {
	read := func(ctx context.Context, q question) answer {
		view, err := Read(ctx, log, q.span, q.process)
		if err != nil {
			logger.Warn("history not read", "error", err)
			return answer{err: err}
		}
		text, err := json.Marshal(view)
		return answer{text, err}
	}
	single, together := memo.New(maxAnswers, answerLife, answerWait, read), memo.New(2, answerLife, answerWait, read)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		q := question{Hour, query.Get("process")}
		switch query.Get("span") {
		case "", "hour":
		case "day":
			q.span = Day
		default:
			refuse(w, http.StatusBadRequest, "span must be hour or day.")
			return
		}
		if len(q.process) > longestString {
			refuse(w, http.StatusBadRequest, "process must be the id of a process; without it, the answer is the sum of all.")
			return
		}
		answers := single
		if q.process == "" {
			answers = together
		}
		a, err := answers.Get(r.Context(), q)
		switch {
		case errors.Is(err, memo.ErrFull):
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusTooManyRequests, "Too many processes are asked for at a time. Try again in some seconds.")
		case err != nil: // the client has hung up
		case a.err != nil:
			refuse(w, http.StatusServiceUnavailable, "The history is in Redis, which does not answer. Meanwhile nothing is added to it.")
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(a.text)
		}
	})
}

func refuse(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": sentence})
}
