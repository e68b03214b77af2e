package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"pushgate/internal/testkit/faulty"
)

// row is one line of the drill: a fault, and what must hold under it.
type row struct {
	name  string
	redis Shape
	short bool // it is in the short form, too
	// Redis loses what it acknowledged: the guarantee is that every reader who misses something
	// gets the note of a gap.
	loses   bool
	refuses bool               // posts may be refused: what they go through is away
	clients int                // 60 unless it says otherwise
	rate    int                // messages a second, 200 unless it says otherwise
	env     []string           // of the edges; if there is any, the row has a world of its own
	tags    string             // with which the programs are built, for a row with an env
	prepare func(*drill) error // before the clients connect; may be nil
	act     func(*drill) error
	after   func(*drill) error // when the clients have gone; may be nil

	// Two of three clients stay with one WebSocket, which must not end.
	stays    bool
	previous bool // programs of the previous version are built for it

	again bool // the machine was too busy the first time
}

// drill is a running row.
type drill struct {
	*World
	ctx    context.Context
	crowd  *crowd
	way    *faulty.Proxy  // by which some of the crowd come; nil if all come by nginx alone
	beside sync.WaitGroup // who makes noise beside the crowd
	quiet  context.CancelFunc
	noise  context.Context // ends when the row's traffic does

	previous version // the previous one, if the row wants it
}

// pause waits, and fails if the test ends meanwhile.
func (d *drill) pause(t time.Duration) error {
	select {
	case <-d.ctx.Done():
		return d.ctx.Err()
	case <-time.After(t):
		return nil
	}
}

// maxPeak is the most bytes of memory that a program may use, whatever happens.
const maxPeak = 64 << 20

// publishPatience is how long publishers wait for Redis. It is generous, because other tests may
// keep the machine busy.
const publishPatience = 700 * time.Millisecond

// outcome is the result of a row, which is printed.
type outcome struct {
	row
	took              time.Duration // of the fault
	accepted, unknown int
	slowest           time.Duration // answer to a post
	report            Report
	closed            int64 // WebSockets that should have stayed
	edge, publisher   int64 // bytes at most
	err               error
	verdict           string
}

// TestDrill causes one fault after another in a whole installation under steady traffic. Clients of
// every dialect on every transport check what they receive, and the test prints a table of it. Rows
// that the guarantee covers must have no losses; in the others, every loss must be reported to the
// client.
//
// E2E_DRILL is a regular expression for the names of the rows to run; without it the short form
// runs.
func TestDrill(t *testing.T) {
	pattern, long := os.LookupEnv("E2E_DRILL")
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var table []outcome
	found := false
	for _, shape := range []Shape{Single, Sentinels, Cluster, ClusterReplicas} {
		var rows []row
		for _, r := range faults() {
			if r.redis == shape && (long || r.short) && chosen.MatchString(r.name) {
				rows = append(rows, r)
			}
		}
		if len(rows) > 0 {
			found = true
			t.Run(shape.String(), func(t *testing.T) { table = append(table, runRows(t, rows)...) })
		}
	}
	if !found {
		t.Fatalf("no row is called %q", pattern)
	}
	fmt.Print(format(table))
}

// runRows runs rows with the same shape of Redis, in the same world as long as it is intact.
func runRows(t *testing.T, rows []row) (table []outcome) {
	var w *World
	for _, r := range rows {
		if w == nil || r.env != nil {
			programs := bin
			if r.tags != "" {
				programs = t.TempDir()
				if err := BuildTags(programs, r.tags, ".", "./cmd/edge", "./cmd/publisher"); err != nil {
					t.Fatal(err)
				}
			}
			// Every post is traced, up to the limit, so that records with a trace go through all
			// faults, and to edges of the previous version. Nobody takes the traces.
			w = Start(t, Options{Bin: programs, Env: []string{"PUSHGATE_TRACES_ENDPOINT=http://127.0.0.1:1", "PUSHGATE_TRACES_RATIO=1"},
				Edges: 3, Publishers: 2, Portals: usualPortals, Redis: r.redis, AOF: true, FaultyLinks: r.redis == Single, Handover: true,
				Shutdown: "1s", EdgeEnv: append([]string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=2s"}, r.env...)})
		}
		whole := t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			o := w.run(t, r)
			table = append(table, o)
			fmt.Fprintf(os.Stderr, "%v: %s: %s\n", r.redis, r.name, o.verdict)
		})
		// After a loss, readers with an older id get a gap for a day, which the next rows do not
		// expect.
		if !whole || r.loses || r.env != nil {
			w = nil
		}
	}
	return table
}

// run is one row.
func (w *World) run(t *testing.T, r row) outcome {
	if r.clients == 0 {
		r.clients = 60
	}
	if r.rate == 0 {
		r.rate = 200
	}
	o := outcome{row: r}
	d := &drill{World: w, ctx: t.Context()}
	if r.previous {
		d.previous = previous(t)
	}
	d.crowd = newCrowd(t, w, r.clients, 8)
	d.noise, d.quiet = context.WithCancel(d.ctx)
	defer d.beside.Wait()
	defer d.quiet()
	for i, s := range d.crowd.subscribers {
		if i/len(w.Portals)/len(kinds)%4 == 3 {
			s.From = "" // it starts from nowhere: from the first id that it receives
		}
	}
	defer func() {
		if d.way != nil {
			d.way.Close()
		}
	}()
	if r.prepare != nil {
		if err := r.prepare(d); err != nil {
			t.Fatal(err)
		}
	}
	ended := new(atomic.Int64)
	if r.stays {
		_, ended = d.crowd.stay(t)
	} else {
		d.crowd.live(Habits{Polls: 0.5, Life: 6 * time.Second, Pause: 200 * time.Millisecond})
	}
	defer d.crowd.stop()
	peaks := w.watchPeaks()
	defer peaks.stop()
	traffic := d.crowd.traffic(d.ctx, r.rate)
	defer traffic.stop()

	o.err = d.pause(1500 * time.Millisecond)
	began := time.Now()
	if o.err == nil {
		o.err = r.act(d)
	}
	o.took = time.Since(began)
	if o.err == nil {
		o.err = d.pause(1500 * time.Millisecond)
	}
	d.quiet()
	d.beside.Wait()
	o.slowest = traffic.stop()
	if o.err == nil {
		o.err = d.crowd.closing(d.ctx)
	}
	o.closed = ended.Load()
	d.crowd.stop()
	d.crowd.comeBack(d.ctx)
	if o.err == nil && r.after != nil {
		o.err = r.after(d)
	}
	o.edge, o.publisher = peaks.stop()
	o.report = d.crowd.ledger.Check(d.crowd.subscribers)
	o.accepted, o.unknown = d.crowd.ledger.Counts()
	if o.unknown > 0 && !r.refuses && !r.again && o.slowest >= publishPatience {
		t.Logf("%d messages were not accepted, and a post took %v: once more", o.unknown, o.slowest)
		r.again = true
		return w.run(t, r)
	}
	o.judge(t, d.crowd)
	return o
}

// judge fails the test for what the guarantee does not allow.
func (o *outcome) judge(t *testing.T, c *crowd) {
	t.Helper()
	r := o.report
	if o.err != nil {
		t.Error(o.err)
	}
	if r.Counts.PortalCalls > 0 {
		t.Errorf("clients had cause to call the portal %d times", r.Counts.PortalCalls)
	}
	if o.accepted == 0 || r.Arrivals == 0 {
		t.Errorf("%d messages, %d arrivals", o.accepted, r.Arrivals)
	}
	if o.closed > 0 {
		t.Errorf("%d WebSockets ended", o.closed)
	}
	if o.unknown > 0 && !o.refuses {
		t.Errorf("%d messages were not accepted", o.unknown)
	}
	if r.Untold > 0 {
		t.Errorf("%d losses, or what comes of them, without a note to the reader: %q", r.Untold, r.Faults)
	}
	limit := int64(maxPeak)
	if raceBuilt() {
		limit *= 8 // the detector remembers
	}
	if o.edge > limit || o.publisher > limit {
		t.Errorf("an edge had %d MB, a publisher %d", o.edge>>20, o.publisher>>20)
	}
	if o.loses {
		// If Redis has lost an unknown number of ids, a reader may get the rest again. Everything
		// else is a fault.
		if r.Crossed+r.Foreign > 0 {
			t.Errorf("%v; foreign %d: %q", r, r.Foreign, r.Faults)
		}
	} else {
		c.verdict(t, r)
		if r.Gaps > 0 {
			t.Errorf("clients got %d notes of a gap, and nothing was lost", r.Gaps)
		}
	}
	switch {
	case t.Failed():
		o.verdict = "FAILED"
	case o.loses:
		o.verdict = "ok: all reported"
	default:
		o.verdict = "ok"
	}
}

// format returns the table.
func format(table []outcome) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Redis\tfault\ttook\tmessages\tnot accepted\tdeliveries\tlost\tuntold\tdoubled\tout of order\tgap notes\tlongest silence\tlatest arrival\tslowest post\tPHP calls\tpeak MB (edge, publisher)\tverdict")
	for _, o := range table {
		r := o.report
		fmt.Fprintf(w, "%v\t%s\t%.1f s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f s\t%.1f s\t%.2f s\t%d\t%d, %d\t%s\n", o.redis, o.name, o.took.Seconds(), o.accepted, o.unknown,
			r.Arrivals, r.Lost, r.Untold, r.Doubled, r.Disordered, r.Gaps, r.Silence.Seconds(), r.Delay(1).Seconds(), o.slowest.Seconds(), r.Counts.PortalCalls, o.edge>>20, o.publisher>>20, o.verdict)
	}
	w.Flush()
	return text.String()
}

// peaks watches how much memory the programs have, also those that are killed.
type peaks struct {
	world           *World
	edge, publisher int64
	end             chan struct{}
	once            sync.Once
	done            sync.WaitGroup
}

func (w *World) watchPeaks() *peaks {
	p := &peaks{world: w, end: make(chan struct{})}
	for _, process := range slices.Concat(w.Edges, w.Publishers) {
		process.ResetPeak()
	}
	p.done.Go(func() {
		for {
			p.look()
			select {
			case <-p.end:
				p.look()
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	return p
}

func (p *peaks) look() {
	for _, e := range p.world.Edges {
		p.edge = max(p.edge, e.Peak())
	}
	for _, e := range p.world.Publishers {
		p.publisher = max(p.publisher, e.Peak())
	}
}

// stop returns the most that any edge, and any publisher, had.
func (p *peaks) stop() (edge, publisher int64) {
	p.once.Do(func() { close(p.end) })
	p.done.Wait()
	return p.edge, p.publisher
}
