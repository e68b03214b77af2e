package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
)

// statistics are those of some processes.
type statistics struct {
	processes []proto.Process
	err       error
	reads     int
}

func (s *statistics) Processes(context.Context) ([]proto.Process, error) {
	s.reads++
	return s.processes, s.err
}

// TestPortalsOfOperators: ten thousand portals are shown by pages, each once, with the sums over
// all processes and their limits; many who ask cost one read. A portal of another process is there,
// too.
func TestPortalsOfOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 10_000
		var served []*portal.Portal
		for i := range many {
			served = append(served, &portal.Portal{ClientID: fmt.Sprintf("portal-%05d", i), Limits: portal.Limits{Rate: 7}})
		}
		table, err := portal.NewTable(served...)
		if err != nil {
			t.Fatal(err)
		}
		numbers := proto.Numbers{Channels: 1, WebSockets: 2, Polls: 3, Daily: proto.Daily{Requests: proto.Counts{"a": 4, "b": 5}, Messages: proto.Counts{"c": 6}}}
		stats := &statistics{processes: []proto.Process{
			{Edge: true, Portals: map[string]proto.Numbers{"portal-00042": numbers, "<b>Elsewhere": numbers}},
			{Portals: map[string]proto.Numbers{"portal-00042": numbers}},
		}}
		p := newPortals(table, stats, slog.New(slog.DiscardHandler))
		type page struct {
			Portals    []portalRow
			All, Total int
			Next       string
			Error      string
		}
		get := func(query string) (page page, status int) {
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/admin/portals?"+query, nil))
			if err := json.NewDecoder(w.Body).Decode(&page); err != nil {
				t.Fatal(err)
			}
			return page, w.Code
		}
		var names []string
		after, pages := "", 0
		for {
			page, _ := get("limit=1000&after=" + url.QueryEscape(after))
			for _, row := range page.Portals {
				names = append(names, row.Name)
			}
			if pages++; page.Next == "" {
				break
			}
			after = page.Next
		}
		if len(names) != many+1 || !slices.IsSorted(names) || len(slices.Compact(names)) != many+1 || pages != 11 {
			t.Errorf("%d names on %d pages", len(names), pages)
		}
		if found, _ := get("find=PORTAL-0004&limit=3"); len(found.Portals) != 3 || found.Total != 10 || found.All != many+1 || found.Next != "portal-00042" {
			t.Errorf("%+v", found)
		} else if row := found.Portals[2]; row.Connections != 10 || row.Channels != 2 || row.Posts != 18 || row.Messages != 12 || row.Limits.Rate != 7 {
			t.Errorf("%+v", row)
		}
		if found, _ := get("find=elsewhere"); len(found.Portals) != 1 || found.Portals[0].Limits != nil || found.Portals[0].Messages != 6 {
			t.Errorf("%+v", found)
		}
		if first, _ := get(""); len(first.Portals) != 100 {
			t.Errorf("%d on a page", len(first.Portals))
		}
		for _, query := range []string{"limit=0", "limit=1001", "limit=x"} {
			if _, status := get(query); status != 400 {
				t.Errorf("%s: %d", query, status)
			}
		}
		if stats.reads != 1 {
			t.Errorf("%d reads", stats.reads)
		}
		time.Sleep(portalsLife + time.Second)
		synctest.Wait()
		stats.processes, stats.err = nil, errors.New("down")
		if without, status := get(""); status != 200 || len(without.Portals) != 100 || without.Error == "" {
			t.Errorf("without Redis: %d, %+v", status, without.Error)
		}
		time.Sleep(portalsLife + time.Second)
	})
}
