package load

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

// maxLine is how long one report may be: an hour has 3,600 samples.
const maxLine = 16 << 20

// ReadReports reads reports, one a line.
func ReadReports(r io.Reader) ([]*Report, error) {
	var reports []*Report
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		report := new(Report)
		if err := json.Unmarshal(lines.Bytes(), report); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(reports)+1, err)
		}
		reports = append(reports, report)
	}
	return reports, lines.Err()
}

// WritePage writes reports as one page of HTML without other files: its plots are inline SVG.
func WritePage(w io.Writer, reports []*Report) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"plots": plots,
		"mb":    func(n int64) string { return fmt.Sprintf("%.1f", mb(n)) },
		"some":  some,
		"ok":    func(r *Report) bool { return r.Correct() == nil },
		"wrong": func(r *Report) string { return r.Correct().Error() },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return page.Execute(w, reports)
}

// plot is a drawing of curves over one axis.
type plot struct {
	Title  string
	Curves []curve
	X, Y   []label
}

// curve is one line of a plot.
type curve struct {
	Name   string
	Class  string // its colour
	Points string // of an SVG polyline
}

// label stands beside an axis.
type label struct {
	At   float64
	Text string
}

// The size of a plot, in the units of its drawing. Labels stand outside of it.
const plotWidth, plotHeight = 400.0, 150.0

// row is values before they are drawn.
type row struct {
	name string
	y    []float64
}

func plots(r *Report) []plot {
	var all []plot
	var at, p50, p99, posts, deliveries, memory, server, store, own, connections []float64
	for _, s := range r.Timeline {
		at = append(at, s.At)
		p50, p99 = append(p50, s.P50), append(p99, s.P99)
		posts, deliveries = append(posts, s.Posts), append(deliveries, s.Deliveries)
		memory, connections = append(memory, mb(s.Memory)), append(connections, float64(s.Connections))
		server, store, own = append(server, s.Server), append(store, s.Store), append(own, s.Own)
	}
	add := func(title string, x []float64, rows ...row) {
		if p, ok := draw(title, x, rows...); ok {
			all = append(all, p)
		}
	}
	add("delivery, ms", at, row{"p50", p50}, row{"p99", p99})
	add("per second", at, row{"deliveries", deliveries}, row{"posts", posts})
	add("memory of the server, MB", at, row{"resident", memory})
	add("processors in use", at, row{"server", server}, row{"store", store}, row{"this tool", own})
	add("connections", at, row{"live", connections})
	var nines, values []float64
	for _, p := range r.Curve {
		if p.Share < 1 {
			nines, values = append(nines, -math.Log10(1-p.Share)), append(values, p.Ms)
		}
	}
	if p, ok := draw("delivery by percentile, ms", nines, row{"", values}); ok {
		p.X = nil
		for n, text := range []string{"0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"} {
			if top := slices.Max(nines); float64(n) <= top {
				p.X = append(p.X, label{float64(n) / top * plotWidth, text})
			}
		}
		all = append(all, p)
	}
	return all
}

// draw makes a plot whose axes both begin at zero. It reports false if there is nothing to
// draw.
func draw(title string, x []float64, rows ...row) (plot, bool) {
	top := 0.0
	for _, r := range rows {
		if len(r.y) > 0 {
			top = max(top, slices.Max(r.y))
		}
	}
	if len(x) < 2 || top == 0 {
		return plot{}, false
	}
	right := slices.Max(x)
	p := plot{Title: title}
	for i, r := range rows {
		var points strings.Builder
		for j, y := range r.y {
			fmt.Fprintf(&points, "%.1f,%.1f ", x[j]/right*plotWidth, plotHeight-y/top*plotHeight)
		}
		p.Curves = append(p.Curves, curve{r.name, fmt.Sprintf("c%d", i), points.String()})
	}
	for _, share := range []float64{0, 0.5, 1} {
		p.Y = append(p.Y, label{plotHeight - share*plotHeight, short(share * top)})
		p.X = append(p.X, label{share * plotWidth, short(share*right) + " s"})
	}
	return p, true
}

// some writes a number, or a dash for what was not measured.
func some(n float64) string {
	if n == 0 {
		return "–"
	}
	return short(n)
}

// short writes a number with three significant digits.
func short(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3gM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.3gk", n/1e3)
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n < 0.01:
		return fmt.Sprintf("%.1g", n)
	}
	return fmt.Sprintf("%.3g", n)
}
