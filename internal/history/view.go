package history

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/proto"
)

// Span is how long a history is, and how fine.
type Span struct {
	Step  time.Duration
	Steps int
}

// The spans.
var (
	Hour = Span{Period, 360}
	Day  = Span{5 * time.Minute, 288}
)

// longestHole is how many steps may be between two samples. What happened in a longer time is not
// known.
const longestHole = 3

// maxSchemas bounds the schemas of all samples. Each kind of process has one, in each version.
const maxSchemas = 64

// View is what one process or all together did. A number that is not known is NaN, and null in
// JSON.
type View struct {
	Step   int64             `json:"step_ms"`
	Times  []int64           `json:"times"` // unix ms: the end of each step, by the clock of Redis
	Series map[string]Points `json:"series"`
}

// Points has a number for each step.
type Points []float64

// MarshalJSON implements [json.Marshaler], with four digits of each number.
func (p Points) MarshalJSON() ([]byte, error) {
	text := []byte{'['}
	for i, v := range p {
		if i > 0 {
			text = append(text, ',')
		}
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			text = append(text, "null"...)
		case v == math.Trunc(v) && math.Abs(v) < 1e15:
			text = strconv.AppendInt(text, int64(v), 10)
		default:
			digits := strconv.AppendFloat(nil, v, 'g', 4, 64)
			text = append(text, digits...)
		}
	}
	return append(text, ']'), nil
}

// Read reads the history of a process, or with "" of all together.
func Read(ctx context.Context, log Log, span Span, process string) (View, error) {
	day := span == Day
	processes, now, err := log.Sampled(ctx, day)
	if err != nil {
		return View{}, err
	}
	if process != "" {
		processes = slices.DeleteFunc(processes, func(id string) bool { return id != process })
	}
	s := newSum(span, now.UnixMilli(), day)
	schemas := make(map[string][]string)
	var failed error
	err = log.Samples(ctx, day, processes, func(_ string, samples []proto.Sample) {
		for _, sample := range samples {
			if len(sample.Text) < schemaName {
				continue
			}
			name := sample.Text[:schemaName]
			if _, known := schemas[name]; known || failed != nil || !isSchemaName(name) || len(schemas) >= maxSchemas {
				continue
			}
			var schema string
			if schema, failed = log.Schema(ctx, name); failed == nil {
				schemas[name] = parseSchema(schema)
			}
		}
		s.add(samples, schemas)
	})
	if err = cmp.Or(err, failed); err != nil {
		return View{}, err
	}
	return s.view(), nil
}

func isSchemaName(text string) bool {
	return strings.Trim(text, "0123456789abcdef") == ""
}

// sum adds up the histories of processes, by the names of figures.
type sum struct {
	step  int64   // ms
	times []int64 // ends of the steps
	// Of gauges the value at the end of a step, of others the increase in it; NaN where no process
	// is known.
	figures map[string][]float64
}

func newSum(span Span, now int64, day bool) *sum {
	step := span.Step.Milliseconds()
	last := now / step * step
	if !day {
		last -= step // samples of the newest step may still come
	}
	s := &sum{step: step, figures: make(map[string][]float64)}
	for i := range span.Steps {
		s.times = append(s.times, last-int64(span.Steps-1-i)*step)
	}
	return s
}

// point is a decoded sample.
type point struct {
	at      int64
	started uint64
	names   []string
	values  []uint64
}

// add adds a process. Samples that do not decode are left out.
func (s *sum) add(samples []proto.Sample, schemas map[string][]string) {
	var points []point
	for _, sample := range samples {
		if len(sample.Text) < schemaName {
			continue
		}
		names := schemas[sample.Text[:schemaName]]
		values, ok := decode(sample.Text[schemaName:], len(names))
		if !ok || names == nil {
			continue
		}
		p := point{at: sample.At, names: names, values: values}
		if i := slices.Index(names, started); i >= 0 {
			p.started = values[i]
		}
		points = append(points, p)
	}
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	s.addIncreases(points)
	s.addGauges(points)
}

// row returns the steps of a figure.
func (s *sum) row(figure string) []float64 {
	values := s.figures[figure]
	if values == nil {
		values = make([]float64, len(s.times))
		for i := range values {
			values[i] = math.NaN()
		}
		s.figures[figure] = values
	}
	return values
}

// addTo adds to a step, which may not be known yet.
func addTo(values []float64, step int, value float64) {
	if math.IsNaN(values[step]) {
		values[step] = 0
	}
	values[step] += value
}

// addIncreases adds the increases of counters. What was counted between two samples is spread
// evenly over that time.
func (s *sum) addIncreases(points []point) {
	covered := make([]int64, len(s.times)) // ms
	own := make(map[string][]float64)
	var grown []uint64
	var rows [][]float64 // of the figures of a point, in their order
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if b.at <= a.at || b.at-a.at > longestHole*s.step {
			continue
		}
		if rows == nil || !sameNames(points[i-1], b) {
			rows = s.rows(own, b.names)
		}
		grown = increase(grown[:0], a, b)
		first := max(0, int((a.at-s.times[0]+s.step)/s.step))
		for k := first; k < len(s.times) && s.times[k]-s.step < b.at; k++ {
			overlap := min(b.at, s.times[k]) - max(a.at, s.times[k]-s.step)
			if overlap <= 0 {
				continue
			}
			covered[k] += overlap
			for f, n := range grown {
				if n > 0 {
					rows[f][k] += float64(n) * float64(overlap) / float64(b.at-a.at)
				}
			}
		}
	}
	for name, values := range own {
		if name[0] == gauge {
			continue
		}
		row := s.row(name)
		for k, n := range values {
			if covered[k] >= s.step/2 {
				addTo(row, k, n*float64(s.step)/float64(covered[k]))
			}
		}
	}
}

// rows returns the rows of figures, and makes those that own does not have.
func (s *sum) rows(own map[string][]float64, names []string) (rows [][]float64) {
	for _, name := range names {
		if own[name] == nil {
			own[name] = make([]float64, len(s.times))
		}
		rows = append(rows, own[name])
	}
	return rows
}

// sameNames reports whether two points have the same schema.
func sameNames(a, b point) bool {
	return len(a.names) == len(b.names) && &a.names[0] == &b.names[0] // a schema has a name
}

// increase appends to grown how much the figures of b have grown since a. After a restart they
// began at 0. Gauges do not grow.
func increase(grown []uint64, a, b point) []uint64 {
	restarted, same := a.started != b.started, sameNames(a, b)
	for i, n := range b.values {
		switch {
		case b.names[i][0] == gauge:
			n = 0
		case restarted:
		case same:
			n = since(a.values[i], n)
		default:
			if j := slices.Index(a.names, b.names[i]); j >= 0 {
				n = since(a.values[j], n)
			}
		}
		grown = append(grown, n)
	}
	return grown
}

// since returns how much a counter has grown, which may have begun anew.
func since(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// addGauges adds what gauges were at the end of each step: the newest sample of that time, unless
// there is none for too long.
func (s *sum) addGauges(points []point) {
	next := 0
	for k, at := range s.times {
		for next < len(points) && points[next].at <= at {
			next++
		}
		if next == 0 {
			continue
		}
		last := points[next-1]
		if hole := s.step * 3 / 2; next == len(points) && at-last.at > hole || next < len(points) && points[next].at-last.at > longestHole*s.step && at-last.at > hole {
			continue
		}
		for i, name := range last.names {
			if name[0] == gauge {
				addTo(s.row(name), k, float64(last.values[i]))
			}
		}
	}
}

// view makes rates and quantiles.
func (s *sum) view() View {
	v := View{Step: s.step, Times: s.times, Series: make(map[string]Points)}
	buckets := make(map[string][]bucket) // by series
	for name, values := range s.figures {
		series := name[2:]
		switch {
		case name == started:
		case name == cpu:
			v.Series["cpu"] = scaled(values, 1/float64(s.step)) // ms of a processor in a ms
		case name[0] == gauge:
			v.Series[series] = values
		case name[0] == counter:
			v.Series[series] = scaled(values, 1000/float64(s.step))
		case name[0] == histogram:
			series, bound, _ := strings.Cut(series, " ")
			if upper, err := strconv.ParseFloat(bound, 64); err == nil {
				buckets[series] = append(buckets[series], bucket{upper, values})
			}
		}
	}
	for series, all := range buckets {
		slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.upper, b.upper) })
		v.Series[series+"_p50"] = quantiles(all, 0.5)
		v.Series[series+"_p99"] = quantiles(all, 0.99)
	}
	return v
}

func scaled(values []float64, by float64) Points {
	points := make(Points, len(values))
	for i, v := range values {
		points[i] = v * by
	}
	return points
}

// bucket has for each step how many values were at most upper, and more than the bucket below.
type bucket struct {
	upper  float64 // seconds
	values []float64
}

// quantiles returns a quantile in ms for each step, NaN where there was no value. Within a bucket,
// values are taken to be spread evenly; of the last one, only its lower bound is known.
func quantiles(buckets []bucket, q float64) Points {
	points := make(Points, len(buckets[0].values))
	for k := range points {
		points[k] = math.NaN()
		all := 0.0
		for _, b := range buckets {
			all += max(0, b.values[k]) // max of NaN is NaN, and then nothing is known
		}
		if !(all > 0) {
			continue
		}
		below, lower := 0.0, 0.0
		for _, b := range buckets {
			if n := b.values[k]; n > 0 && below+n >= q*all {
				points[k] = lower * 1000
				if !math.IsInf(b.upper, 1) {
					points[k] += (b.upper - lower) * (q*all - below) / n * 1000
				}
				break
			}
			below += b.values[k]
			if !math.IsInf(b.upper, 1) {
				lower = b.upper
			}
		}
	}
	return points
}
