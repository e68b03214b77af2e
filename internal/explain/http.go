package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"pushgate/internal/admin"
	"pushgate/internal/proto"
)

const (
	mostBodyRequest = 4 << 10 // bytes of a request
	defaultTrace    = 60      // seconds
	mostTrace       = 600
	// mostFollowers is how many traces one process asks for at a time.
	mostFollowers = 4
)

// Routes returns the routes of the admin port.
func (x *Explainer) Routes() []admin.Route {
	var followers atomic.Int32
	return []admin.Route{
		{Pattern: "GET /admin/explain", Role: admin.View, Handler: http.HandlerFunc(x.serveExplain)},
		{Pattern: "POST /admin/explain/body", Role: admin.Act, Handler: http.HandlerFunc(x.serveBody), Audit: "message-body"},
		{Pattern: "GET /admin/trace", Role: admin.View, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if followers.Add(1) > mostFollowers {
				followers.Add(-1)
				w.Header().Set("Retry-After", "10")
				admin.Refuse(w, http.StatusTooManyRequests, "This process follows as many traces as it may; end one of them.")
				return
			}
			defer followers.Add(-1)
			x.serveTrace(w, r)
		})},
	}
}

// refuse answers with an error.
func (x *Explainer) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrQuery), errors.Is(err, ErrTrace):
		admin.Refuse(w, http.StatusBadRequest, "The parameter q: "+err.Error()+".")
	case errors.Is(err, ErrWhichPortal):
		admin.Refuse(w, http.StatusBadRequest, "The parameter portal: "+err.Error()+".")
	case errors.Is(err, ErrPortal), errors.Is(err, ErrNoBody):
		admin.Refuse(w, http.StatusNotFound, "Not found: "+err.Error()+".")
	default:
		x.Logger.Warn("question at the admin port not answered", "error", err)
		admin.Refuse(w, http.StatusServiceUnavailable, "It could not be found out now; the log of the process says why.")
	}
}

func (x *Explainer) serveExplain(w http.ResponseWriter, r *http.Request) {
	report, err := x.Explain(r.Context(), r.FormValue("q"), r.FormValue("portal"), admin.CallerOf(r).Name)
	if err != nil {
		x.refuse(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, report)
}

func (x *Explainer) serveBody(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Portal, ID string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBodyRequest)).Decode(&asked); err != nil {
		admin.Refuse(w, http.StatusBadRequest, `The body must be {"id": "the id of a message", "portal": "its portal"}.`)
		return
	}
	whom := asked.ID
	if id, err := proto.ParseID(whom); err == nil { // the audit log shortens words of 26 digits
		whom = fmt.Sprintf("%d-%d", id.Epoch, id.Sequence)
	}
	admin.SetWhom(r, strings.TrimSpace(asked.Portal+" message "+whom))
	body, receivers, err := x.Body(r.Context(), asked.ID, asked.Portal)
	if err != nil {
		x.refuse(w, err)
		return
	}
	names := make([]string, 0, len(receivers))
	for _, id := range receivers[:min(len(receivers), mostReceivers)] {
		names = append(names, name(id))
	}
	reply := map[string]any{"bytes": len(body), "receivers": names, "body": string(body)}
	if !utf8.Valid(body) {
		reply["body"], reply["base64"] = body, true // which is encoded as base64
	}
	admin.Answer(w, http.StatusOK, reply)
}

// serveTrace sends what happens as server-sent events: steps as JSON, and a comment each round, by
// which it notices that the reader has gone.
func (x *Explainer) serveTrace(w http.ResponseWriter, r *http.Request) {
	seconds := defaultTrace
	if text := r.FormValue("seconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > mostTrace {
			admin.Refuse(w, http.StatusBadRequest, "seconds must be a number from 1 to "+strconv.Itoa(mostTrace)+".")
			return
		}
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // or the request would end with it
	begun := false
	begin := func() {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
		}
	}
	written := error(nil)
	send := func(text string) {
		begin()
		_ = control.SetWriteDeadline(time.Now().Add(5 * time.Second)) // the reader may stop reading
		if _, err := io.WriteString(w, text); err != nil {
			written = err
		}
	}
	err := x.Trace(r.Context(), r.FormValue("q"), r.FormValue("portal"), admin.CallerOf(r).Name, time.Now().Add(time.Duration(seconds)*time.Second),
		func(s Step) {
			text, err := json.Marshal(s)
			if err == nil {
				send("data: " + string(text) + "\n\n")
			}
		}, func() error {
			send(":\n\n")
			return errors.Join(written, control.Flush())
		})
	switch {
	case err != nil && !begun:
		x.refuse(w, err)
	case err == nil:
		send("event: end\ndata: {}\n\n")
	}
}
