package load

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is how a run went. Its JSON form is one line of a results file.
type Report struct {
	Scenario    string    `json:"scenario"`
	Label       string    `json:"label"`
	Peer        Peer      `json:"peer"`
	Form        Form      `json:"form"`
	Transport   Transport `json:"transport"`
	Variant     string    `json:"variant"` // distinguishes runs of one scenario
	Started     time.Time `json:"started"`
	Processors  int       `json:"processors"`
	Connections int       `json:"connections"`
	Rate        float64   `json:"rate"`
	Size        int       `json:"size"`
	Publishers  int       `json:"publishers"`

	Seconds    float64 `json:"seconds"` // of the measured part
	Posted     int     `json:"posted"`
	Accepted   int     `json:"accepted"`
	Refused    int     `json:"refused"` // posts without a 2xx
	Delivered  int     `json:"delivered"`
	Lost       int     `json:"lost"`
	Doubled    int     `json:"doubled"`
	Disordered int     `json:"disordered"`
	Stray      int     `json:"stray"` // messages for another subscriber, or that were never sent
	Gaps       int     `json:"gaps"`  // notes of a gap that subscribers received
	Connects   int     `json:"connects"`
	// Connections that the server ended, after which the subscriber came back with its position.
	Broken int `json:"broken"`
	CutOff int `json:"cut_off"` // slow readers that the server did not keep
	// How often somebody came back with a position: after leaving by themselves, or a break.
	Returns     int     `json:"returns"`
	LongestOut  float64 `json:"longest_out_seconds"` // until everybody was back after a break
	LostPolling int     `json:"lost_polling"`        // of what is lost, by clients that poll
	NotTaken    int     `json:"not_taken"`           // connections refused during a restart
	Rejected    int     `json:"rejected"`            // answers 400, 403 or 4010 to who came back

	FaultCount int      `json:"faults"`
	Faults     []string `json:"first_faults,omitempty"`
	// Why posts were refused and connections broke.
	Details map[string]int `json:"details,omitempty"`

	ConnectsPerSecond   float64 `json:"connects_per_second"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	AcceptedPerSecond   float64 `json:"accepted_per_second"`
	Handshakes          Summary `json:"handshakes"`
	Latency             Summary `json:"latency"`   // from when a message was due to its arrival
	Accepting           Summary `json:"accepting"` // from a post to its answer
	// Of the pace itself: if it is large, this tool was too slow.
	Lateness Summary `json:"lateness"`

	// Of the server, at the end of the measured part; resident bytes.
	Memory             int64   `json:"memory"`
	MemoryBefore       int64   `json:"memory_before"` // before anything was done
	MemoryPeak         int64   `json:"memory_peak"`
	BytesPerConnection float64 `json:"bytes_per_connection"`
	ServerCPU          float64 `json:"server_cpu_seconds"`
	StoreCPU           float64 `json:"store_cpu_seconds"`
	OwnCPU             float64 `json:"own_cpu_seconds"`
	ServerMicros       float64 `json:"server_cpu_us_per_delivery"`
	StoreMicros        float64 `json:"store_cpu_us_per_delivery"`

	Timeline []Sample `json:"timeline,omitempty"`
	Curve    []Point  `json:"curve,omitempty"`

	breaks, refusals                map[string]int
	deliveredBefore, acceptedBefore int
}

// Sample is one second of a run.
type Sample struct {
	At          float64 `json:"at"` // seconds since the beginning
	Connections int     `json:"connections"`
	Posts       float64 `json:"posts_per_second"`
	Deliveries  float64 `json:"deliveries_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Memory      int64   `json:"memory"`
	Server      float64 `json:"server_cpu"` // processors in use
	Store       float64 `json:"store_cpu"`
	Own         float64 `json:"own_cpu"`
}

func newReport(o *Options) *Report {
	transport := o.Transport
	if o.Form == SSE {
		transport = Transport(SSE)
	}
	return &Report{Scenario: o.Scenario, Label: o.Label, Peer: o.Peer, Form: o.Form, Transport: transport, Variant: o.variant(), Started: time.Now(),
		Processors: runtime.NumCPU(), Connections: o.Connections, Rate: o.Rate, Size: o.Size, Publishers: o.Publishers,
		breaks: map[string]int{}, refusals: map[string]int{}}
}

// variant names what has been chosen, so that only like is compared with like.
func (o *Options) variant() string {
	if o.Variant != "" {
		return o.Variant
	}
	parts := []string{o.Scenario, fmt.Sprint(o.Connections)}
	switch {
	case o.Rate == FlatOut:
		parts = append(parts, "flat out")
	case o.Rate > 0:
		parts = append(parts, fmt.Sprintf("%g/s", o.Rate))
	}
	switch {
	case o.Form == SSE:
		parts = append(parts, "sse")
	case o.Form != Text:
		parts = append(parts, string(o.Form))
	}
	if o.Transport == Poll && o.Scenario != "poll" {
		parts = append(parts, "poll")
	}
	return strings.Join(parts, " ")
}

// finish fills in what is known at the end only.
func (r *run) finish() {
	rep := r.report
	for _, p := range r.pubs {
		if p.busy {
			p.done(errUnanswered)
		}
	}
	rep.Lost = r.lost()
	for _, s := range r.subs {
		if s.transport == Poll {
			rep.LostPolling += s.lost()
		}
	}
	rep.Delivered = r.delivered
	for _, s := range r.streams {
		rep.Posted += int(s.posted)
	}
	rep.Handshakes, rep.Latency = r.handshakes.summary(), r.latency.summary()
	rep.Accepting, rep.Lateness = r.accepting.summary(), r.lateness.summary()
	rep.Curve = r.latency.curve()
	if len(rep.refusals)+len(rep.breaks) > 0 {
		rep.Details = map[string]int{}
		for text, n := range rep.refusals {
			rep.Details["refused: "+text] += n
		}
		for text, n := range rep.breaks {
			rep.Details["broken: "+text] += n
		}
	}
}

// Correct returns an error that says what was wrong, if messages were lost, doubled or out of
// order, or the server did what no server may do.
func (r *Report) Correct() error {
	var wrong []string
	for _, c := range []struct {
		n    int
		what string
	}{{r.Lost, "lost"}, {r.Doubled, "doubled"}, {r.Disordered, "out of order"}, {r.Stray, "stray"}, {r.FaultCount, "faults"}} {
		if c.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if r.Refused > 0 && r.Accepted == 0 {
		wrong = append(wrong, "no post was accepted")
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(r.Variant + ": " + strings.Join(wrong, ", "))
}

// Write writes the report as a table for people.
func (r *Report) Write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t"+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(t, "\n%s against %s (%s, %s)\n", r.Variant, r.Label, r.Form, r.Transport)
	row("messages", "%d posted, %d accepted, %d refused, %d delivered in %.2f s", r.Posted, r.Accepted, r.Refused, r.Delivered, r.Seconds)
	row("correctness", "%d lost, %d doubled, %d out of order, %d stray, %d faults", r.Lost, r.Doubled, r.Disordered, r.Stray, r.FaultCount)
	if r.Gaps > 0 {
		row("gaps", "%d told", r.Gaps)
	}
	row("connections", "%d made, %.0f/s; %d broken by the server", r.Connects, r.ConnectsPerSecond, r.Broken)
	if r.Returns > 0 {
		row("returns", "%d; everybody back after %.2f s at most; %d connections not taken, %d rejected", r.Returns, r.LongestOut, r.NotTaken, r.Rejected)
	}
	if r.Scenario == "slow" {
		row("slow readers", "%d cut off", r.CutOff)
	}
	summary := func(name string, s Summary) {
		if s.Count > 0 {
			row(name, "p50 %.3g ms, p90 %.3g, p99 %.3g, p99.9 %.3g, max %.3g", s.P50, s.P90, s.P99, s.P999, s.Max)
		}
	}
	summary("handshake", r.Handshakes)
	summary("delivery", r.Latency)
	summary("acceptance", r.Accepting)
	summary("lateness of the pace", r.Lateness)
	if r.Delivered > 0 {
		row("throughput", "%.0f accepted/s, %.0f deliveries/s", r.AcceptedPerSecond, r.DeliveriesPerSecond)
	}
	if r.Memory > 0 {
		row("memory", "%.1f MB before, %.1f MB peak, %.1f MB after", mb(r.MemoryBefore), mb(r.MemoryPeak), mb(r.Memory))
		if r.BytesPerConnection > 0 {
			row("", "%.0f bytes each connection", r.BytesPerConnection)
		}
		row("processors", "server %.2f s, store %.2f s, this tool %.2f s", r.ServerCPU, r.StoreCPU, r.OwnCPU)
		if r.ServerMicros > 0 {
			row("", "server %.1f µs, store %.1f µs each delivery", r.ServerMicros, r.StoreMicros)
		}
	}
	if r.OwnCPU > 0.9*r.Seconds {
		row("note", "this tool was busy all the time: the server may be faster than that")
	}
	for _, text := range r.Faults {
		row("fault", "%s", text)
	}
	var details []string
	for text := range r.Details {
		details = append(details, text)
	}
	slices.Sort(details)
	for _, text := range details[:min(len(details), maxFaults)] {
		row("", "%d times %s", r.Details[text], text)
	}
	t.Flush()
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// tick records the last second, and prints it.
func (r *run) tick() {
	now := r.loop.Now()
	seconds := (now - r.now.at).Seconds()
	s := Sample{At: now.Seconds(), Connections: r.present, Posts: float64(r.now.posted) / seconds, Deliveries: float64(r.now.delivered) / seconds,
		P50: ms(r.now.latency.quantile(0.5)), P99: ms(r.now.latency.quantile(0.99))}
	u := r.now.usage
	if r.meter.local() {
		if latest, err := r.meter.read(); err == nil {
			u = latest
			if before := r.now.usage; before.ownCPU > 0 {
				s.Server, s.Store = (u.cpu-before.cpu).Seconds()/seconds, (u.storeCPU-before.storeCPU).Seconds()/seconds
				s.Own = (u.ownCPU - before.ownCPU).Seconds() / seconds
			}
			s.Memory = u.memory
			r.report.MemoryPeak = max(r.report.MemoryPeak, u.memory)
		}
	}
	r.report.Timeline = append(r.report.Timeline, s)
	r.now.latency.reset()
	r.now = tick{latency: r.now.latency, at: now, usage: u}
	if r.progress == nil {
		return
	}
	line := fmt.Sprintf("%4.0f s  %6d connections  %7.0f posts/s  %8.0f deliveries/s", s.At, s.Connections, s.Posts, s.Deliveries)
	if s.P99 > 0 {
		line += fmt.Sprintf("  p50 %.3g ms  p99 %.3g ms", s.P50, s.P99)
	}
	if s.Memory > 0 {
		line += fmt.Sprintf("  %.1f MB  cpu %.2f+%.2f (tool %.2f)", mb(s.Memory), s.Server, s.Store, s.Own)
	}
	fmt.Fprintln(r.progress, line)
}
