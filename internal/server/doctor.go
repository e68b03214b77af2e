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
	if !e.mu.TryLock() {
		w.Header().Set("Retry-After", "5")
		admin.Refuse(w, http.StatusConflict, "An examination is under way: ask again in a few seconds.")
		return
	}
	defer e.mu.Unlock()
	if e.made.IsZero() || time.Since(e.made) >= examKept {
		ctx, cancel := context.WithTimeout(r.Context(), examTime)
		defer cancel()
		report, err := e.run(ctx)
		if err == nil && r.Context().Err() != nil {
			return // who asked has gone, and what could not be looked at is unknown
		}
		if err != nil {
			admin.Refuse(w, http.StatusServiceUnavailable, "The examination failed: "+err.Error()+".")
			return
		}
		e.report, e.made = report, time.Now()
	}
	var text bytes.Buffer
	if err := e.report.JSON(&text, lang); err != nil {
		admin.Refuse(w, http.StatusInternalServerError, "The report cannot be written: "+err.Error()+".")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text.Bytes())
}
