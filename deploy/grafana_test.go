package deploy

import (
	"encoding/json"
	"testing"
)

// TestDashboard: every panel asks for metrics and labels that there are.
func TestDashboard(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Grid    struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(read(t, "grafana/pushgate.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	known := documented(t)
	ids, cells := make(map[int]string), make(map[[2]int]string)
	for _, p := range dashboard.Panels {
		if other, taken := ids[p.ID]; taken {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := range p.Grid.W {
			for y := range p.Grid.H {
				cell := [2]int{p.Grid.X + x, p.Grid.Y + y}
				if cells[cell] != "" || cell[0] >= 24 {
					t.Errorf("%q is over %q, or too far right", p.Title, cells[cell])
				}
				cells[cell] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q is empty", p.Title)
		}
		for _, target := range p.Targets {
			check(t, known, p.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "query" {
			check(t, known, "variable "+variable.Name, variable.Definition)
		}
	}
	if len(dashboard.Panels) < 30 {
		t.Errorf("%d panels", len(dashboard.Panels))
	}
}
