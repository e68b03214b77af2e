package explain

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/trail"
)

// traceQuestion asks a process for what has happened since the last one with the same id. The first
// one begins the trace.
type traceQuestion struct {
	ID     string       `json:"id"`
	Portal string       `json:"portal"`
	Marks  []trail.Mark `json:"marks"`
	Until  int64        `json:"until"` // unix milliseconds
}

type traceAnswer struct {
	Steps   []trail.Step `json:"steps"`
	Dropped int          `json:"dropped"`
}

func (p Parts) take(q traceQuestion) (a traceAnswer, err error) {
	if len(q.ID) > 64 || len(q.Marks) > mostListed {
		return a, errors.New("The trace is of too many channels.")
	}
	var all []*trail.Traces
	if p.Edge != nil {
		all = append(all, p.Edge.Trail().Posts().Traces())
	}
	for _, t := range append(all, p.Posts.Traces()) {
		steps, dropped, err := t.Take(q.ID, q.Portal, q.Marks, time.UnixMilli(q.Until))
		if err != nil {
			return a, err
		}
		a.Steps, a.Dropped = append(a.Steps, steps...), a.Dropped+dropped
	}
	return a, nil
}

// Step is something that happened to a message or a session that is followed. Times are unix
// milliseconds.
type Step struct {
	Process string `json:"process"`
	trail.Step
	Milli   int64 `json:"at_ms"`
	Dropped int   `json:"dropped"` // further steps that were too many to be kept
}

const (
	// traceInterval is the time between two questions of a trace.
	traceInterval = 500 * time.Millisecond
	// stepDropped is what a Step says that counts steps that are missing.
	stepDropped = "dropped"
	// stepSilent is what a Step says when a process has not answered.
	stepSilent = "silent"
)

// ErrTrace is the error of [Explainer.Trace] for a message: it has passed already.
var ErrTrace = errors.New("follow a user, a channel or a list; what became of a message is answered at once")

// Trace follows what happens to the messages and sessions of a user or some channels, in all
// processes, until a time or until ctx ends. It calls step with what happened, in the order of time
// within half a second, and ticked after each round, whose error ends the trace.
func (x *Explainer) Trace(ctx context.Context, text, portal, caller string, until time.Time, step func(Step), ticked func() error) error {
	q, err := ParseQuery(text)
	if err != nil {
		return err
	}
	if q.Kind == KindMessage {
		return ErrTrace
	}
	p, err := x.portal(portal)
	if errors.Is(err, ErrPortal) {
		return err
	}
	ids := q.Channels
	if p == nil && (q.Kind == KindList || q.Kind == KindToken) {
		return err
	}
	if ids == nil {
		w := work{Explainer: x, report: new(Report)}
		w.list(p, q)
		ids = w.report.listed
	}
	if len(ids) == 0 || len(ids) > mostListed {
		return ErrQuery
	}
	asked := traceQuestion{ID: rand.Text(), Marks: trail.MarksOf(ids), Until: until.UnixMilli()}
	if p != nil {
		asked.Portal = p.Name()
	}
	ctx, end := context.WithDeadline(ctx, until)
	defer end()
	for {
		if err := x.round(ctx, asked, caller, step); err != nil {
			return err
		}
		if err := ticked(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(traceInterval):
		}
	}
}

// round asks once for what has happened.
func (x *Explainer) round(ctx context.Context, asked traceQuestion, caller string, step func(Step)) error {
	asking, cancel := context.WithTimeout(ctx, 4*traceInterval)
	defer cancel()
	got, err := x.Fleet.Ask(asking, questionTrace, caller, asked)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil && len(got.Answers) == 0 {
		return err
	}
	var steps []Step
	for _, a := range got.Answers {
		var l traceAnswer
		if a.Err != "" || json.Unmarshal(a.Body, &l) != nil {
			steps = append(steps, Step{Process: a.Process, Step: trail.Step{At: time.Now().UnixMicro(), What: stepSilent, Detail: a.Err}})
			continue
		}
		for _, s := range l.Steps {
			steps = append(steps, Step{Process: a.Process, Step: s})
		}
		if l.Dropped > 0 {
			steps = append(steps, Step{Process: a.Process, Step: trail.Step{At: time.Now().UnixMicro(), What: stepDropped}, Dropped: l.Dropped})
		}
	}
	for _, id := range got.Silent {
		steps = append(steps, Step{Process: id, Step: trail.Step{At: time.Now().UnixMicro(), What: stepSilent}})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	for _, s := range steps {
		s.Milli = s.At / 1000
		step(s)
	}
	return nil
}

// Body returns the body of a message that the log still holds, and who may be told of it.
func (x *Explainer) Body(ctx context.Context, text, portal string) (body []byte, receivers []channel.ID, err error) {
	q, err := ParseQuery(text)
	if err != nil {
		return nil, nil, err
	}
	if q.Kind != KindMessage {
		return nil, nil, ErrQuery
	}
	p, err := x.portal(portal)
	if err != nil {
		return nil, nil, err
	}
	found, err := x.Logs(p.Name()).Look(ctx, q.ID, nil)
	if err != nil {
		return nil, nil, err
	}
	if found.Message == nil {
		return nil, nil, ErrNoBody
	}
	return found.Message.Body, found.Message.Receivers, nil
}

// ErrNoBody is the error of [Explainer.Body] for a message that the log does not hold.
var ErrNoBody = errors.New("the log does not hold this message (any more)")
