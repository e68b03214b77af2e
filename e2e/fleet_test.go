package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

// operated checks that an operator sees the whole installation by the admin port of any process:
// all processes, the portal, what Redis holds, and the settings of another process.
func (w *World) operated(t *testing.T) {
	t.Helper()
	edge, publisher := w.Edges[0], w.Publishers[0]
	if status, err := w.Post(t.Context(), "x", false, NewChannel()); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	for _, p := range []*Process{edge, publisher} {
		var list struct {
			Self      string
			Processes []struct {
				ID, Kind, Version, Host string
				PID                     int
				Memory                  int64 `json:"memory_bytes"`
				Descriptors             int
				Ready                   bool
				Clock                   *int64 `json:"clock_ms"`
			}
			Silent []string
			Error  string
		}
		testkit.Eventually(t, "all processes at "+p.Name, func() bool {
			_, text := askAdmin(t, p, "GET", "/admin/processes", "", "")
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				t.Fatal(err, text)
			}
			ready := 0
			for _, other := range list.Processes {
				if other.Ready && other.Clock != nil {
					ready++
				}
			}
			return ready == 3
		})
		said := ""
		for _, other := range list.Processes {
			said += other.ID + " " + other.Kind + ", "
			if other.Version == "" || other.Host == "" || other.PID <= 1 || other.Memory < 1<<20 || other.Descriptors < 5 || *other.Clock < -1000 || *other.Clock > 1000 {
				t.Errorf("%+v, clock %d", other, *other.Clock)
			}
		}
		if said != "edge-0 edge, edge-1 edge, publisher-0 publisher, " || list.Self != p.Name || len(list.Silent) > 0 || list.Error != "" {
			t.Errorf("%s at %s: %+v", said, p.Name, list)
		}
	}
	for _, c := range []struct{ path, token, want string }{
		{"/admin/history?span=day", "", `{"step_ms":300000,"times":[`},
		{"/admin/history?process=publisher-0", "", `"step_ms":10000`},
		{"/admin/portals", "", `"name":"default"`},
		{"/admin/redis", adminView, `"types":[{"type":`},
		{"/admin/config?process=publisher-0", adminView, `{"process":"publisher-0","settings":[`},
	} {
		if status, text := askAdmin(t, edge, "GET", c.path, "", c.token); status != 200 || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %.300s", c.path, status, text)
		}
	}
	for _, path := range []string{"/admin/redis", "/admin/config?process=publisher-0"} {
		if status, text := askAdmin(t, edge, "GET", path, "", ""); status != 401 || !strings.HasPrefix(text, `{"error":"`) {
			t.Errorf("%s without a token: %s", path, fmt.Sprint(status, " ", text))
		}
	}
}
