package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"syscall"
	"time"

	"pushgate/internal/store"
)

// Bounds of [Options.Measure].
const (
	ShortestMeasure = 2 * time.Second
	LongestMeasure  = 90 * time.Second // with the checks: two minutes
)

const (
	mostOpened  = 2000 // connections
	shareOpened = 20   // at most one part in so many of what is free
	enough      = 500  // connections of which the memory can be told; it has jumps
	leastBytes  = 1000 // of a connection in an edge: fewer are an error of the measurement
	dialSize    = 64 << 10

	measureSteps  = 5
	sampleEvery   = time.Second
	singleRate    = 50.0   // posts a second
	deliveryRate  = 2000.0 // deliveries a second, at most
	collections   = 4      // of garbage, that are awaited
	mostCollect   = 300    // readings of the metrics while a garbage collection is awaited
	late          = 200 * time.Millisecond
	timesAsLate   = 4
	closeSoon     = time.Second
	closeTimeout  = 5 * time.Second
	fewProbes     = 5
	probesAtATime = 20
)

// stop is why a measurement has ended before its time.
type stop string

const (
	stopNot     stop = ""
	stopRefused stop = "refused"  // a connection was refused, or lost
	stopPost    stop = "post"     // a post was not accepted
	stopLate    stop = "late"     // messages became late
	stopReady   stop = "notready" // a process became not ready
)

// measurement opens connections and publishes, carefully, and reads what that costs.
type measurement struct {
	exam  *exam
	store *store.Store // nil if it is not known
	crowd *crowd
	took  time.Duration // for all of it

	mu      sync.Mutex // guards the next two while it runs
	stop    stop
	stopSaw string

	quiet, open, posted, fanned span
	base, full                  sample // with one connection and with all, both without garbage
	most                        int    // connections that it meant to open
	bounded                     string
	before, last                time.Duration // p99 from a post to its receipt: alone, and at worst
	posts, deliveries           int           // of the last two spans
	left                        float64       // connections that the edges still count at the end
}

// span is the time between two samples.
type span struct{ from, to sample }

func (s span) seconds() float64 { return s.to.at.Sub(s.from.at).Seconds() }

var (
	errNoRoom  = errors.New("there is no room for a single connection more")
	errNoEdges = errors.New("no edge answers")
)

// measure opens connections at bases for a time and reads what they cost. It returns an error if it
// could not begin.
func (e *exam) measure(ctx context.Context, lasts time.Duration, bases []*url.URL, st *store.Store) (*measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	v := e.visit()
	defer v.client.CloseIdleConnections()
	m := &measurement{exam: e, store: st, crowd: newCrowd(v, bases)}
	begin := time.Now()
	defer func() { m.took = time.Since(begin) }()
	defer m.close()

	unit := lasts / 20
	m.quiet = m.during(ctx, func(ctx context.Context) { pause(ctx, 2*unit) })
	if m.quiet.to.bad != "" {
		return m, errors.New(m.quiet.to.bad)
	}
	if m.quiet.to.sum(isEdge, isEdge) == 0 {
		return m, errNoEdges
	}
	if m.most, m.bounded = e.mostConnections(m.quiet.to); m.most < 1 {
		return m, errNoRoom
	}
	if err := m.crowd.open(ctx, 1, 0); err != nil {
		return m, err
	}
	if !m.probe(ctx, unit) {
		return m, errors.New(m.stopSaw)
	}
	m.before = m.last
	m.base = m.collect(ctx, 2*unit)
	m.open.from = m.sample(ctx)
	m.grow(ctx, 7*unit)
	m.open.to = m.sample(ctx)
	m.full = m.collect(ctx, 2*unit)
	if m.stopped() {
		return m, nil
	}
	m.posted = m.during(ctx, func(ctx context.Context) { m.posts = m.publish(ctx, false, singleRate, 2*unit) })
	rate := min(singleRate, max(1, deliveryRate/float64(min(crowdGroup, m.crowd.size()))))
	m.crowd.take()
	m.fanned = m.during(ctx, func(ctx context.Context) { m.publish(ctx, true, rate, 2*unit) })
	m.deliveries, _ = m.judge()
	return m, nil
}

// during returns the samples before and after do, and takes more between them: taking them costs
// something too, and so it costs the same in each span. A process that is not ready ends do.
func (m *measurement) during(ctx context.Context, do func(context.Context)) (s span) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	s.from = m.sample(ctx)
	go func() {
		defer close(done)
		do(inner)
	}()
	every := time.NewTicker(sampleEvery)
	defer every.Stop()
	for {
		select {
		case <-done:
			s.to = m.sample(ctx)
			m.ready(s.to)
			return s
		case <-every.C:
			if !m.ready(m.sample(ctx)) {
				cancel()
			}
		}
	}
}

// end notes why the measurement ends; the first reason counts.
func (m *measurement) end(why stop, saw string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop == stopNot {
		m.stop, m.stopSaw = why, saw
	}
}

func (m *measurement) stopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stop != stopNot
}

// ready notes whether all processes are ready, which they were in the beginning.
func (m *measurement) ready(s sample) bool {
	if s.bad != "" && m.quiet.from.bad == "" {
		m.end(stopReady, s.bad)
	}
	return s.bad == ""
}

// grow opens the connections in steps, and looks after each whether messages are as fast as before.
func (m *measurement) grow(ctx context.Context, lasts time.Duration) {
	for step := 1; step <= measureSteps && !m.stopped() && ctx.Err() == nil; step++ {
		more := m.most*step/measureSteps - m.crowd.size()
		if more <= 0 {
			continue
		}
		m.during(ctx, func(ctx context.Context) {
			if err := m.crowd.open(ctx, more, lasts/measureSteps*3/5); err != nil {
				m.end(stopRefused, err.Error())
				return
			}
			m.probe(ctx, lasts/measureSteps/4)
		})
	}
}

// probe publishes a few messages, and reports whether they are in time.
func (m *measurement) probe(ctx context.Context, lasts time.Duration) bool {
	m.crowd.take()
	m.publish(ctx, false, max(fewProbes, probesAtATime/lasts.Seconds()), lasts)
	m.judge()
	return !m.stopped()
}

func (m *measurement) publish(ctx context.Context, shared bool, rate float64, lasts time.Duration) int {
	posted, err := m.crowd.publish(ctx, shared, rate, lasts)
	if err != nil && ctx.Err() == nil {
		m.end(stopPost, err.Error())
	}
	pause(ctx, min(late, lasts/4)) // the last ones are under way
	return posted
}

// judge looks at how late the messages were that have been received.
func (m *measurement) judge() (received int, p99 time.Duration) {
	received, latencies := m.crowd.take()
	p99 = part(latencies, 0.99)
	m.last = max(m.last, p99)
	if m.before > 0 && p99 > timesAsLate*m.before+late {
		m.end(stopLate, fmt.Sprintf("p99 %s → %s", m.before.Round(time.Millisecond), p99.Round(time.Millisecond)))
	}
	if err := m.crowd.failed(); err != nil {
		m.end(stopRefused, err.Error())
	}
	return received, p99
}

// collect waits until the edges have collected the garbage of the handshakes, and returns a sample
// of then, with the least memory that was in use: what is under way at a collection adds to it.
// Reading the metrics makes garbage of its own, so they collect soon.
func (m *measurement) collect(ctx context.Context, lasts time.Duration) sample {
	const count, used = "go_gc_duration_seconds_count", "pushgate_memory_used_bytes"
	begin, from := time.Now(), m.sample(ctx)
	now := from
	least := make([]float64, len(from.processes))
	for i := 0; i < mostCollect && time.Since(begin) < lasts && pause(ctx, 0); i++ {
		now = m.sample(ctx)
		waiting := false
		for n, p := range now.processes {
			collected := p.metrics[count] - from.processes[n].metrics[count]
			if collected >= 1 && (least[n] == 0 || p.metrics[used] < least[n]) {
				least[n] = p.metrics[used]
			}
			waiting = waiting || p.is(isEdge) && collected < collections
		}
		if !waiting {
			break
		}
	}
	for n, p := range now.processes {
		if least[n] > 0 {
			p.metrics[used] = least[n]
		}
	}
	return now
}

// close closes the connections, and waits until the edges count them no more.
func (m *measurement) close() {
	m.crowd.close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for begin := time.Now(); ; {
		m.left = m.sample(ctx).connections() - m.quiet.to.connections()
		// Others come and go, too.
		if m.left <= 0 || time.Since(begin) > closeSoon && !m.many() || !pause(ctx, closeSoon/20) {
			return
		}
	}
}

// many reports whether more connections are left than can be those of others.
func (m *measurement) many() bool { return m.left > float64(m.crowd.size())/10+1 }

// mostConnections returns how many connections may be opened: few of what is free.
func (e *exam) mostConnections(now sample) (n int, by string) {
	n, by = mostOpened, fmt.Sprintf("≤ %d", mostOpened)
	within := func(free float64, share int, what string) {
		if most := int(free) / share; most < n {
			n, by = max(0, most), fmt.Sprintf("%s: %.0f / %d", what, free, share)
		}
	}
	var own syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own) == nil {
		within(float64(min(own.Cur, 1<<30))-64, 1, "RLIMIT_NOFILE")
	}
	room := 0.0
	for _, p := range now.processes {
		if p.is(isEdge) {
			room += p.room()
		}
	}
	within(room, shareOpened, "descriptors")
	if now.available >= 0 {
		within(now.available/dialSize, shareOpened, "MemAvailable")
	}
	if e.nginx != nil && e.Portal != "" {
		each, workers, _ := e.nginxSizes()
		within((float64(each*workers)-2*now.connections())/2, shareOpened, "worker_connections")
	}
	if ports := e.portsOfUpstreams(); ports > 0 && e.Portal != "" {
		within(float64(ports)-now.connections(), shareOpened, "ports")
	}
	return n, by
}

// most returns how many connections an edge may hold: its setting, or what its descriptors allow.
func (p process) most() float64 {
	most := p.metrics["process_max_fds"]
	if limit := p.metrics["pushgate_connections_limit"]; limit > 0 && (limit < most || most == 0) {
		return limit
	}
	return most
}

// room returns how many connections an edge can still take.
func (p process) room() float64 { return max(0, p.most()-p.metrics["pushgate_connections"]) }
