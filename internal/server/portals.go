package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"pushgate/internal/admin"
	"pushgate/internal/memo"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

const (
	portalsLife = 10 * time.Second // of the statistics, which processes write as often
	portalsWait = 5 * time.Second
	mostPortals = 1000 // in an answer
	fewPortals  = 100  // in one that does not say
	longestFind = 128  // bytes
)

// portalRow is a portal in the answer of GET /admin/portals. What is counted is the sum over all
// processes.
type portalRow struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Channels    int    `json:"channels"` // with a subscriber; one counts in each edge
	Posts       int64  `json:"posts"`    // requests that were carried out since midnight
	Messages    int64  `json:"messages"` // likewise, that were accepted
	// Nil of a portal that this process does not serve.
	Limits *portalLimits `json:"limits,omitempty"`
}

// portalLimits are the limits of a portal; 0 is none.
type portalLimits struct {
	Payload     int64 `json:"payload"`
	Messages    int   `json:"messages"`
	Channels    int   `json:"channels"`
	Connections int   `json:"connections"`
	Posts       int   `json:"posts"`
	Rate        int   `json:"rate"`
}

// portalList is what there is to say about all portals, in the order of their names.
type portalList struct {
	rows []portalRow
	err  error // why nothing is counted
}

// processesOf is the part of a store that has the statistics.
type processesOf interface {
	Processes(ctx context.Context) ([]proto.Process, error)
}

// portals serves GET /admin/portals. It may be used concurrently.
type portals struct {
	table  atomic.Pointer[portal.Table]
	stats  processesOf
	logger *slog.Logger
	list   *memo.Memo[struct{}, portalList]
}

func newPortals(table *portal.Table, stats processesOf, logger *slog.Logger) *portals {
	p := &portals{stats: stats, logger: logger}
	p.list = memo.New(1, portalsLife, portalsWait, func(ctx context.Context, _ struct{}) portalList { return p.count(ctx) })
	p.SetPortals(table)
	return p
}

// SetPortals replaces the portals that the process serves.
func (p *portals) SetPortals(table *portal.Table) { p.table.Store(table) }

// count adds up the statistics of all processes.
func (p *portals) count(ctx context.Context) portalList {
	rows := make(map[string]*portalRow)
	for _, served := range p.table.Load().All() {
		l := served.Limits
		rows[served.Name()] = &portalRow{Name: served.Name(), Limits: &portalLimits{l.Payload, l.Messages, l.Channels, l.Connections, l.Posts, l.Rate}}
	}
	processes, err := p.stats.Processes(ctx)
	if err != nil {
		p.logger.Info("statistics of portals not read", "error", err)
	}
	for _, process := range processes {
		for name, n := range process.Portals {
			row := rows[name]
			if row == nil {
				row = &portalRow{Name: name}
				rows[name] = row
			}
			row.Connections += n.WebSockets + n.Polls
			row.Channels += n.Channels
			row.Posts += total(n.Daily.Requests)
			row.Messages += total(n.Daily.Messages)
		}
	}
	list := portalList{err: err}
	for _, row := range rows {
		list.rows = append(list.rows, *row)
	}
	slices.SortFunc(list.rows, func(a, b portalRow) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func total(counts proto.Counts) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// ServeHTTP answers with a page of the portals after a name whose names have a text in them.
func (p *portals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, find, limit := query.Get("after"), strings.ToLower(query.Get("find")), fewPortals
	if text := query.Get("limit"); text != "" {
		limit, _ = strconv.Atoi(text)
	}
	if limit < 1 || limit > mostPortals || len(find) > longestFind {
		admin.Refuse(w, http.StatusBadRequest, "limit must be a number from 1 to "+strconv.Itoa(mostPortals)+", and find at most "+strconv.Itoa(longestFind)+" bytes long.")
		return
	}
	list, err := p.list.Get(r.Context(), struct{}{})
	if err != nil {
		return // the client has hung up
	}
	page := struct {
		Portals []portalRow `json:"portals"`
		Total   int         `json:"total"`          // portals that were found, on all pages
		All     int         `json:"all"`            // portals that there are
		Next    string      `json:"next,omitempty"` // the after of the next page; "" of the last
		Error   string      `json:"error,omitempty"`
	}{Portals: []portalRow{}, All: len(list.rows)}
	for _, row := range list.rows {
		if find != "" && !strings.Contains(strings.ToLower(row.Name), find) {
			continue
		}
		page.Total++
		switch {
		case row.Name <= after:
		case len(page.Portals) < limit:
			page.Portals = append(page.Portals, row)
		default:
			page.Next = page.Portals[limit-1].Name
		}
	}
	if list.err != nil {
		page.Error = "Nothing is counted: the statistics of the processes are in Redis, which does not answer."
	}
	admin.Answer(w, http.StatusOK, page)
}
