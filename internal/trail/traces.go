package trail

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/proto"
)

const (
	// MaxTraces is how many traces a process follows at a time.
	MaxTraces = 8
	// MaxTrace is the longest trace.
	MaxTrace = 10 * time.Minute
	// tracePatience is how long a trace lives that nobody takes from.
	tracePatience = 10 * time.Second
	// mostSteps is how many steps of a trace wait to be taken. Further ones are only counted.
	mostSteps = 500
)

// ErrTraces is the error of [Traces.Take] for one trace too many.
var ErrTraces = errors.New("this process follows as many traces as it may; wait until one of them has ended")

// Traces are what a process follows live. Its methods may be called concurrently. A nil Traces
// follows nothing.
type Traces struct {
	active atomic.Pointer[[]*trace] // nil if there is none

	mu      sync.Mutex
	all     []*trace
	checked bool // check is due
}

// Step is something that happened to a message or a session of a trace.
type Step struct {
	At      int64    `json:"at"` // unix microseconds
	What    string   `json:"what"`
	Portal  string   `json:"portal"`
	ID      proto.ID `json:"id"`      // of the message; zero if there is none
	Through proto.ID `json:"through"` // the last one, if they are several
	Session uint64   `json:"session"` // in its process; 0 if there is none
	Detail  string   `json:"detail"`  // type of the message, transport of the session, or reason
}

// What happened in a [Step].
const (
	StepPosted  = "posted"  // the log has the message; Detail: outcome and type
	StepHeard   = "heard"   // the edge was notified of it
	StepWritten = "written" // to a session
	StepAcked   = "acknowledged"
	StepBegan   = "began" // a session
	StepEnded   = "ended"
	StepRefused = "refused" // a subscription
)

// trace follows what concerns some channels.
type trace struct {
	id     string
	portal string // "" is any
	marks  []Mark
	until  time.Time

	mu      sync.Mutex
	taken   time.Time
	steps   []Step
	dropped int
}

// Active reports whether anything is followed.
func (t *Traces) Active() bool { return t != nil && t.active.Load() != nil }

// Take returns what has happened since the last call with the same id, and how many steps found no
// room. The first call begins the trace of some channels of a portal, or of all portals, until a
// time. Nobody has to end it.
func (t *Traces) Take(id, portal string, marks []Mark, until time.Time) (steps []Step, dropped int, err error) {
	if t == nil {
		return nil, 0, nil
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	i := slices.IndexFunc(t.all, func(tr *trace) bool { return tr.id == id })
	if i < 0 {
		if now.After(until) {
			return nil, 0, nil
		}
		if len(t.all) >= MaxTraces {
			return nil, 0, ErrTraces
		}
		if most := now.Add(MaxTrace); until.After(most) {
			until = most
		}
		t.all = append(t.all, &trace{id: id, portal: portal, marks: slices.Clone(marks), until: until, taken: now})
		t.publish()
		t.checkLater()
		return nil, 0, nil
	}
	tr := t.all[i]
	tr.mu.Lock()
	defer tr.mu.Unlock()
	steps, dropped = tr.steps, tr.dropped
	tr.steps, tr.dropped, tr.taken = nil, 0, now
	return steps, dropped, nil
}

// check drops the traces that have ended, and looks again later if there are others.
func (t *Traces) check() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked = false
	t.sweep(time.Now())
	t.checkLater()
}

// checkLater calls check in a while, if there are traces. t.mu is held.
func (t *Traces) checkLater() {
	if len(t.all) > 0 && !t.checked {
		t.checked = true
		time.AfterFunc(tracePatience, t.check)
	}
}

// sweep drops the traces that have ended. t.mu is held.
func (t *Traces) sweep(now time.Time) {
	before := len(t.all)
	t.all = slices.DeleteFunc(t.all, func(tr *trace) bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return now.After(tr.until) || now.Sub(tr.taken) >= tracePatience
	})
	if len(t.all) != before {
		t.publish()
	}
}

// publish makes the traces known to those who report steps. t.mu is held.
func (t *Traces) publish() {
	if len(t.all) == 0 {
		t.active.Store(nil)
		return
	}
	all := slices.Clone(t.all)
	t.active.Store(&all)
}

// step adds a step to the traces that follow one of some channels.
func (t *Traces) step(s Step, watched func() []Mark) {
	all := t.active.Load()
	if all == nil {
		return
	}
	marks := watched()
	for _, tr := range *all {
		if tr.portal != "" && tr.portal != s.Portal || !slices.ContainsFunc(marks, func(m Mark) bool { return slices.Contains(tr.marks, m) }) {
			continue
		}
		tr.mu.Lock()
		if len(tr.steps) < mostSteps {
			tr.steps = append(tr.steps, s)
		} else {
			tr.dropped++
		}
		tr.mu.Unlock()
	}
}

func (t *Traces) posted(at int64, portal string, outcome Outcome, id proto.ID, m *proto.Message) {
	if t.Active() {
		t.step(Step{At: at, What: StepPosted, Portal: portal, ID: id, Detail: string(outcome) + " " + m.Type}, func() []Mark { return MarksOf(m.Receivers) })
	}
}

func (t *Traces) heard(at int64, portal string, m *proto.Message) {
	if t.Active() {
		t.step(Step{At: at, What: StepHeard, Portal: portal, ID: m.ID, Detail: m.Type}, func() []Mark { return MarksOf(m.Receivers) })
	}
}

func (t *Traces) refused(r Refusal) {
	if t.Active() {
		t.step(Step{At: r.At, What: StepRefused, Portal: r.Portal, Detail: r.Cause}, func() []Mark { return r.Marks })
	}
}
