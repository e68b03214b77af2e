package load

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Goal is one line of a comparison: a measure of the runs of a variant, and its goal.
type Goal struct {
	Variant, Measure string
	Title            string
	Set              bool // there is a goal
	AtLeast          bool // the goal is a lower bound
	Value            float64
	// Label of a server whose value was known when the goal was set; "" if none was.
	Peer      string
	PeerValue float64 // that value; not 0 if there is a peer
}

// measures are the values that can be compared, by name.
func measures() map[string]func(r *Report) float64 {
	return map[string]func(r *Report) float64{
		"bytes":         func(r *Report) float64 { return r.BytesPerConnection },
		"empty-mb":      func(r *Report) float64 { return mb(r.MemoryBefore) },
		"growth-mb":     func(r *Report) float64 { return mb(r.MemoryPeak - r.MemoryBefore) },
		"connects":      func(r *Report) float64 { return r.ConnectsPerSecond },
		"handshake-p99": func(r *Report) float64 { return r.Handshakes.P99 },
		"p50":           func(r *Report) float64 { return r.Latency.P50 },
		"p99":           func(r *Report) float64 { return r.Latency.P99 },
		"cpu":           func(r *Report) float64 { return r.ServerMicros },
		"cpu-store":     func(r *Report) float64 { return r.StoreMicros },
		"cpu-both":      func(r *Report) float64 { return r.ServerMicros + r.StoreMicros },
		"deliveries":    func(r *Report) float64 { return r.DeliveriesPerSecond },
		"accepted":      func(r *Report) float64 { return r.AcceptedPerSecond },
		"seconds":       func(r *Report) float64 { return r.Seconds },
		"cut-off":       func(r *Report) float64 { return float64(r.CutOff) },
		"lost":          func(r *Report) float64 { return float64(r.Lost) },
		"lost-polling":  func(r *Report) float64 { return float64(r.LostPolling) },
		"doubled":       func(r *Report) float64 { return float64(r.Doubled) },
		"disordered":    func(r *Report) float64 { return float64(r.Disordered) },
		"refused":       func(r *Report) float64 { return float64(r.Refused) },
		"broken":        func(r *Report) float64 { return float64(r.Broken) },
		"returns":       func(r *Report) float64 { return float64(r.Returns) },
		"out":           func(r *Report) float64 { return r.LongestOut },
		"rejected":      func(r *Report) float64 { return float64(r.Rejected) },
	}
}

// ReadGoals reads goals, one on a line, with tabs between variant, measure, goal, peer and title. A
// goal is "≤ 5" or "≥ 5", a peer "label 5", each "-" where there is none. Lines that begin with #
// are skipped.
func ReadGoals(r io.Reader) ([]Goal, error) {
	var goals []Goal
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 5 || measures()[fields[1]] == nil {
			return nil, fmt.Errorf("line %d: not a variant, a measure, a goal, a peer and a title: %q", n, line)
		}
		g := Goal{Variant: fields[0], Measure: fields[1], Title: fields[4]}
		if sign, value, ok := strings.Cut(fields[2], " "); ok {
			var err error
			if g.Value, err = strconv.ParseFloat(value, 64); err != nil || sign != "≤" && sign != "≥" {
				return nil, fmt.Errorf("line %d: no goal: %q", n, fields[2])
			}
			g.Set, g.AtLeast = true, sign == "≥"
		}
		if label, value, ok := strings.Cut(fields[3], " "); ok {
			var err error
			if g.PeerValue, err = strconv.ParseFloat(value, 64); err != nil || g.PeerValue <= 0 {
				return nil, fmt.Errorf("line %d: no value of a peer: %q", n, fields[3])
			}
			g.Peer = label
		}
		goals = append(goals, g)
	}
	return goals, lines.Err()
}

// text returns the goal as text for the table.
func (g Goal) text() string {
	switch {
	case !g.Set:
		return "–"
	case g.AtLeast:
		return "≥ " + short(g.Value)
	default:
		return "≤ " + short(g.Value)
	}
}

// met returns whether a value meets the goal, as text for the table.
func (g Goal) met(value float64) string {
	if !g.Set {
		return ""
	}
	if g.AtLeast && value >= g.Value || !g.AtLeast && value <= g.Value {
		return "yes"
	}
	if g.Value == 0 {
		return "no"
	}
	return "no, " + short(value/g.Value) + " ×"
}

// today returns the goal scaled to this machine, by the value that the peer has in reports. It
// reports false if there is no such value.
func (g Goal) today(reports []*Report) (Goal, bool) {
	value, ok := median(reports, g, g.Peer)
	if !g.Set || g.Peer == "" || !ok {
		return g, false
	}
	g.Value *= value / g.PeerValue
	return g, true
}

// more reports whether more of a measure is better.
func more(measure string) bool {
	return measure == "connects" || measure == "deliveries" || measure == "accepted"
}

// beside returns the ratio of a value to the best of others: below 1 is better.
func (g Goal) beside(value float64, others []float64) string {
	if len(others) == 0 {
		return ""
	}
	ratio := value / slices.Min(others)
	if more(g.Measure) {
		ratio = slices.Max(others) / value
	}
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return "–"
	}
	return short(ratio) + " ×"
}

// Compare writes a table in Markdown: a line for each goal, with the median of the runs of each
// server, and below it a line for each server on whether it was correct. The first server is
// compared with the goals, with the goals scaled to this machine, and with the best of the others.
// Lines without a run are left out, and so is all that is about goals if no line has one.
func Compare(w io.Writer, goals []Goal, reports []*Report) {
	var labels []string
	for _, r := range reports {
		if !slices.Contains(labels, r.Label) {
			labels = append(labels, r.Label)
		}
	}
	if len(labels) == 0 {
		return
	}
	aimed := slices.ContainsFunc(goals, func(g Goal) bool { return g.Set })
	titles := slices.Concat([]string{"", "goal"}, labels, []string{"goal met"})
	if len(labels) > 1 {
		titles = append(titles, "goal by its peer today", "beside the best other")
	}
	if !aimed {
		titles = slices.Concat([]string{""}, labels)
	}
	fmt.Fprintf(w, "|%s |\n|%s\n", strings.Join(titles, " | "), strings.Repeat("---|", len(titles)))
	for _, g := range goals {
		if !slices.ContainsFunc(reports, func(r *Report) bool { return r.Variant == g.Variant }) {
			continue
		}
		cells := []string{g.Title}
		if aimed {
			cells = append(cells, g.text())
		}
		met, today, beside := "", "", ""
		var others []float64
		for _, label := range labels[1:] {
			if value, ok := median(reports, g, label); ok {
				others = append(others, value)
			}
		}
		for i, label := range labels {
			value, ok := median(reports, g, label)
			if !ok {
				cells = append(cells, "–")
				continue
			}
			cells = append(cells, short(value))
			if i == 0 {
				met, beside = g.met(value), g.beside(value, others)
				if scaled, ok := g.today(reports); ok {
					today = scaled.text() + ": " + scaled.met(value)
				}
			}
		}
		if aimed {
			cells = append(cells, met)
		}
		if aimed && len(labels) > 1 {
			cells = append(cells, today, beside)
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintln(w)
	for _, label := range labels {
		writeCorrectness(w, label, reports)
	}
}

// median returns the middle value of a server's runs. It reports false if there were none.
func median(reports []*Report, g Goal, label string) (float64, bool) {
	var values []float64
	for _, r := range reports {
		if r.Label == label && r.Variant == g.Variant {
			values = append(values, measures()[g.Measure](r))
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2, true
	}
	return values[middle], true
}

func writeCorrectness(w io.Writer, label string, reports []*Report) {
	var sum Report
	runs := 0
	for _, r := range reports {
		if r.Label != label {
			continue
		}
		runs++
		sum.Delivered += r.Delivered
		sum.Refused += r.Refused
		sum.Lost += r.Lost
		sum.Doubled += r.Doubled
		sum.Disordered += r.Disordered
		sum.Stray += r.Stray
		sum.FaultCount += r.FaultCount
	}
	fmt.Fprintf(w, "* **%s**: %d deliveries in %d runs: %d lost, %d doubled, %d out of order, %d stray; %d other faults, %d posts refused.\n",
		label, sum.Delivered, runs, sum.Lost, sum.Doubled, sum.Disordered, sum.Stray, sum.FaultCount, sum.Refused)
}
