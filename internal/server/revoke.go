package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pushgate/internal/admin"
	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/store"
)

const (
	maxRevocation = 64 << 10 // bytes of a request; a list has up to 128 signed ids
	// revocationPatience is how long one request may take: a list may need several round trips.
	revocationPatience = 5 * time.Second
)

// revocations has the routes of the admin port by which operators put somebody out.
type revocations struct {
	store   *store.Store    // immutable
	grammar channel.Grammar // immutable
	logger  *slog.Logger    // immutable
	portals atomic.Pointer[portal.Table]
}

func newRevocations(st *store.Store, grammar channel.Grammar, table *portal.Table, logger *slog.Logger) *revocations {
	v := &revocations{store: st, grammar: grammar, logger: logger}
	v.SetPortals(table)
	return v
}

// SetPortals replaces the portals that can be named.
func (v *revocations) SetPortals(table *portal.Table) { v.portals.Store(table) }

func (v *revocations) routes() []admin.Route {
	return []admin.Route{
		{Pattern: "GET /admin/revocations", Role: admin.View, Handler: http.HandlerFunc(v.list)},
		{Pattern: "POST /admin/revoke", Role: admin.Act, Handler: http.HandlerFunc(v.revoke), Audit: "revoke"},
		{Pattern: "POST /admin/restore", Role: admin.Act, Handler: http.HandlerFunc(v.restore), Audit: "restore"},
	}
}

// find returns the portal with a client id, or with the name of its log; nil if there is none.
func (v *revocations) find(name string) *portal.Portal {
	p := v.portals.Load().Find(name)
	if p == nil && name == portal.Default {
		p = v.portals.Load().Personal()
	}
	if p == nil || name != p.ClientID && name != p.Name() {
		return nil
	}
	return p
}

// revocation is one entry as the admin port shows it.
type revocation struct {
	Entry revoke.Entry `json:"entry"`
	Kind  string       `json:"kind"`           // user, token or channel
	User  int64        `json:"user,omitempty"` // of kind user; the other kinds are hashes
	Until int64        `json:"until"`          // unix seconds
}

func (v *revocations) list(w http.ResponseWriter, r *http.Request) {
	p := v.find(r.URL.Query().Get("portal"))
	if p == nil {
		admin.Refuse(w, http.StatusNotFound, noSuchPortal)
		return
	}
	list, _, err := v.store.Log(p.Name()).Revocations(r.Context(), proto.ID{})
	if err != nil {
		v.fail(w, err)
		return
	}
	entries := make([]revocation, 0, len(list))
	for entry, until := range list {
		kind, _, _ := strings.Cut(string(entry), ":")
		entries = append(entries, revocation{entry, kind, entry.User(), until})
	}
	slices.SortFunc(entries, func(a, b revocation) int { return strings.Compare(string(a.Entry), string(b.Entry)) })
	admin.Answer(w, http.StatusOK, map[string]any{"portal": p.ClientID, "revocations": entries})
}

// wanted is the body of a request.
type wanted struct {
	Portal  string `json:"portal"`
	User    int64  `json:"user"`
	Token   string `json:"token"`
	TokenID string `json:"token_id"`
	Channel string `json:"channel"`
	Until   int64  `json:"until"` // unix seconds
	For     string `json:"for"`   // instead of it, as a duration of Go
}

const (
	noSuchPortal = "portal is not the client id of a portal of this process; leave it out for the personal portal."
	howToAsk     = `The body must be JSON such as {"portal": "", "user": 17, "for": "24h"}: one of user, token, token_id and channel, and until (unix seconds) or for (such as 90m or 72h).`
)

// read reads a request, and says for the audit log whom it is about. It has answered if it returns
// false.
func (v *revocations) read(w http.ResponseWriter, r *http.Request, now time.Time) (q wanted, p *portal.Portal, entries []revoke.Entry, ok bool) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRevocation))
	d.DisallowUnknownFields() // a mistyped until must not become the default
	if err := d.Decode(&q); err != nil || d.More() || q.Until != 0 && q.For != "" {
		admin.Refuse(w, http.StatusBadRequest, howToAsk)
		return q, nil, nil, false
	}
	if p = v.find(q.Portal); p == nil {
		admin.Refuse(w, http.StatusNotFound, noSuchPortal)
		return q, nil, nil, false
	}
	target := revoke.Target{User: q.User, Token: q.Token, TokenID: q.TokenID, Channel: q.Channel}
	entries, err := target.Entries(p.Signer, p.HostID, v.grammar, now)
	if err != nil {
		admin.Refuse(w, http.StatusBadRequest, sentence(err))
		return q, nil, nil, false
	}
	whom := make([]string, len(entries))
	for i, entry := range entries {
		whom[i] = entry.Short()
	}
	admin.SetWhom(r, strings.Join(whom, ", ")+" of portal "+p.Name())
	return q, p, entries, true
}

func (q wanted) until(now time.Time) (time.Time, error) {
	switch {
	case q.For != "":
		d, err := time.ParseDuration(q.For)
		if err != nil || d <= 0 {
			return time.Time{}, errors.New("for is not a time such as 90m or 72h")
		}
		return revoke.Until(now.Add(d), now)
	case q.Until != 0:
		return revoke.Until(time.Unix(q.Until, 0), now)
	default:
		return revoke.Until(time.Time{}, now)
	}
}

func (v *revocations) revoke(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	q, p, entries, ok := v.read(w, r, now)
	if !ok {
		return
	}
	until, err := q.until(now)
	if err != nil {
		admin.Refuse(w, http.StatusBadRequest, sentence(err))
		return
	}
	log := v.store.Log(p.Name())
	v.change(w, r, p, entries, until.Unix(), func(ctx context.Context, e revoke.Entry) error { return log.Revoke(ctx, e, until) })
}

func (v *revocations) restore(w http.ResponseWriter, r *http.Request) {
	if _, p, entries, ok := v.read(w, r, time.Now()); ok {
		v.change(w, r, p, entries, 0, v.store.Log(p.Name()).Lift)
	}
}

// change makes a change of each entry, and answers.
func (v *revocations) change(w http.ResponseWriter, r *http.Request, p *portal.Portal, entries []revoke.Entry, until int64, change func(context.Context, revoke.Entry) error) {
	// What an operator has begun is done, also if the browser leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), revocationPatience)
	defer cancel()
	for _, entry := range entries {
		switch err := change(ctx, entry); {
		case errors.Is(err, revoke.ErrFull):
			admin.Refuse(w, http.StatusConflict, sentence(revoke.ErrFull))
			return
		case err != nil:
			v.fail(w, err)
			return
		}
	}
	admin.Answer(w, http.StatusOK, map[string]any{"portal": p.ClientID, "entries": entries, "until": until})
}

// sentence returns an error as a sentence of its own.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (v *revocations) fail(w http.ResponseWriter, err error) {
	v.logger.Warn("revocations not read or written", "error", err)
	admin.Refuse(w, http.StatusServiceUnavailable, "Redis did not confirm it in time; it may apply all the same. Ask again: "+err.Error()+".")
}
