package server

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"pushgate/internal/admin"
	"pushgate/internal/doctor"
)

const (
	// examTime bounds an examination: an answer of the admin port must be taken in 30 s.
	examTime = 20 * time.Second
	examKept = 10 * time.Second
)

// doctorRoute makes the route of the admin port that examines the installation, with the settings
// of environ. It sees what this process may see.
func doctorRoute(environ []string) admin.Route {
	return admin.Route{Pattern: "GET /admin/doctor", Role: admin.View, Handler: &exams{run: func(ctx context.Context) (doctor.Report, error) {
		return doctor.Run(ctx, doctor.Options{Environ: environ, Root: "/"})
	}}}
}

// exams makes one examination at a time, and keeps its report for a moment.
type exams struct {
	run func(context.Context) (doctor.Report, error) // immutable

	mu     sync.Mutex // held during an examination
	report doctor.Report
	made   time.Time // zero: there is none
}

// ServeHTTP implements [http.Handler].
func (e *exams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lang := doctor.Lang(r.URL.Query().Get("lang"))
	switch lang {
	case "":
		lang = doctor.English
	case doctor.English, doctor.Russian:
	default:
		admin.Refuse(w, http.StatusBadRequest, "lang must be en or ru.")
		return
	}
	text, status, sentence := e.examine(r.Context(), lang)
	switch {
	case status == http.StatusConflict:
		w.Header().Set("Retry-After", "5")
		admin.Refuse(w, status, sentence)
	case sentence != "":
		admin.Refuse(w, status, sentence)
	case text != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // not while others are kept out: whoever asked may be slow to read
	}
}

// examine returns the report in a language, or a status and a sentence why there is none; nothing
// if ctx has ended.
func (e *exams) examine(ctx context.Context, lang doctor.Lang) (text []byte, status int, sentence string) {
	if !e.mu.TryLock() {
		return nil, http.StatusConflict, "An examination is under way: ask again in a few seconds."
	}
	defer e.mu.Unlock()
	if e.made.IsZero() || time.Since(e.made) >= examKept {
		bounded, cancel := context.WithTimeout(ctx, examTime)
		defer cancel()
		report, err := e.run(bounded)
		if err == nil && ctx.Err() != nil {
			return nil, 0, "" // who asked has gone, and what could not be looked at is unknown
		}
		if err != nil {
			return nil, http.StatusServiceUnavailable, "The examination failed: " + err.Error() + "."
		}
		e.report, e.made = report, time.Now()
	}
	var b bytes.Buffer
	if err := e.report.JSON(&b, lang); err != nil {
		return nil, http.StatusInternalServerError, "The report cannot be written: " + err.Error() + "."
	}
	return b.Bytes(), http.StatusOK, ""
}
