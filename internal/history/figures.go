// Package history keeps what a process does, for an hour and for a day, in Redis, and shows it for
// one process or for all together.
//
// A sample has the counters and the histograms as they are, so that older samples can be left out
// without a calculation. Nothing is kept in the processes.
package history

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Kinds of figures, which are the first byte of their names.
const (
	gauge     = 'g' // what is now
	counter   = 'c' // what has been counted since the process started
	histogram = 'h' // likewise, in a bucket; the name ends with " " and the bucket's upper bound
)

// Figures are the numbers of a process that a history is kept of. They may be used concurrently.
type Figures struct {
	registry *prometheus.Registry
	started  time.Time
}

// NewFigures makes the figures of this process.
func NewFigures() *Figures {
	return &Figures{registry: prometheus.NewRegistry(), started: time.Now()}
}

// Registerer returns a registerer that registers metrics with main, and takes the figures from
// them, too. What is registered with main alone costs nothing here.
func (f *Figures) Registerer(main prometheus.Registerer) prometheus.Registerer {
	return both{main, f.registry}
}

type both struct{ main, figures prometheus.Registerer }

// Register implements [prometheus.Registerer].
func (b both) Register(c prometheus.Collector) error {
	if err := b.main.Register(c); err != nil {
		return err
	}
	return b.figures.Register(c)
}

// MustRegister implements [prometheus.Registerer].
func (b both) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := b.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements [prometheus.Registerer].
func (b both) Unregister(c prometheus.Collector) bool {
	b.figures.Unregister(c)
	return b.main.Unregister(c)
}

// source is a metric of which a history is kept.
type source struct {
	kind   byte
	series string            // its name
	label  string            // whose values make series of their own; "" is one series for all
	rename map[string]string // values of the label
}

// sources are by the names of their metrics.
var sources = map[string]source{
	"pushgate_connections":                 {gauge, "connections", "transport", map[string]string{"longpoll": "poll", "sse": "stream"}},
	"pushgate_channels":                    {gauge, "channels", "", nil},
	"pushgate_published_total":             {counter, "published", "", nil},
	"pushgate_delivered_total":             {counter, "delivered", "", nil},
	"pushgate_replayed_total":              {counter, "replayed", "", nil},
	"pushgate_gaps_total":                  {counter, "gaps", "", nil},
	"pushgate_session_ends_total":          {counter, "ends", "reason", nil},
	"pushgate_publish_refused_total":       {counter, "refused", "reason", nil},
	"pushgate_subscribe_refused_total":     {counter, "refused_subscription", "", nil},
	"pushgate_origins_refused_total":       {counter, "refused_origin", "", nil},
	"pushgate_subscribe_turned_away_total": {counter, "refused_full", "full", nil},
	"pushgate_portal_calls_total":          {counter, "portal_calls", "cause", nil},
	"pushgate_publish_to_send_seconds":     {histogram, "publish_to_send", "", nil},
	"pushgate_publish_to_ack_seconds":      {histogram, "publish_to_ack", "", nil},
	"pushgate_canary_seconds":              {histogram, "redis_trip", "", nil},
}

// Figures of the process itself.
const (
	memory  = "g memory_bytes"
	cpu     = "c cpu"     // ms
	started = "g started" // unix ms; another one tells that counters have begun anew
)

// Read returns the figures by their names: a kind, a space, the series.
func (f *Figures) Read() (map[string]uint64, error) {
	families, err := f.registry.Gather()
	if err != nil {
		return nil, err
	}
	figures := map[string]uint64{memory: uint64(max(0, Memory())), cpu: processorTime(), started: uint64(f.started.UnixMilli())}
	for _, family := range families {
		if s, kept := sources[family.GetName()]; kept {
			for _, m := range family.GetMetric() {
				s.add(figures, m)
			}
		}
	}
	return figures, nil
}

// Gauges returns by their series what the gauges are now; nil if they cannot be read.
func (f *Figures) Gauges() map[string]int {
	figures, err := f.Read()
	if err != nil {
		return nil
	}
	gauges := make(map[string]int)
	for name, value := range figures {
		if name[0] == gauge {
			gauges[name[2:]] = int(value)
		}
	}
	return gauges
}

// Started returns when the figures were made, which is when the process started.
func (f *Figures) Started() time.Time { return f.started }

// add adds one series of a metric to figures.
func (s source) add(figures map[string]uint64, m *dto.Metric) {
	name := string(s.kind) + " " + s.series
	for _, label := range m.GetLabel() {
		if label.GetName() == s.label {
			value := label.GetValue()
			if short := s.rename[value]; short != "" {
				value = short
			}
			name += "_" + value
		}
	}
	switch s.kind {
	case gauge:
		figures[name] += uint64(max(0, m.GetGauge().GetValue()))
	case counter:
		figures[name] += uint64(max(0, m.GetCounter().GetValue()))
	case histogram:
		before := uint64(0)
		for _, b := range m.GetHistogram().GetBucket() {
			figures[name+" "+strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)] += b.GetCumulativeCount() - before
			before = b.GetCumulativeCount()
		}
		figures[name+" +Inf"] += m.GetHistogram().GetSampleCount() - before
	}
}

// Memory returns how many bytes of memory the process uses.
func Memory() int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(text); len(fields) > 1 {
			if pages, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// processorTime returns how many ms of processors the process has used.
func processorTime() uint64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return uint64(max(0, time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Milliseconds()))
}
