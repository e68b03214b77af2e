package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// Between two looks for answers: it grows.
	minLook = 2 * time.Millisecond
	maxLook = 50 * time.Millisecond
	// How long the others are waited for when as many have answered as have received the question,
	// or all that have a lease: a process that was killed has its lease for up to half a minute,
	// and one that has just started has none yet.
	lateGrace = 200 * time.Millisecond
)

// Ask asks processes by their ids, or all if none is named, and returns when all have answered or
// the time for it is over: [DefaultWait], or when ctx ends if it has a deadline, at most [MaxWait].
// The process itself answers without Redis, and so only through an error if the others cannot be
// asked: then Ask returns its answer and why. body is encoded as JSON; with the rest of the
// question it may have [MaxQuestion] bytes. caller is who asks, for the logs of the others.
func (f *Fleet) Ask(ctx context.Context, name, caller string, body any, processes ...string) (Answers, error) {
	select {
	case f.asking <- struct{}{}:
		defer func() { <-f.asking }()
	default:
		return Answers{}, errAsking
	}
	wait := DefaultWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(time.Until(deadline), MaxWait)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	encoded, err := json.Marshal(body)
	if err != nil {
		return Answers{}, fmt.Errorf("encode a question: %w", err)
	}
	m := message{Place: rand.Text(), Name: name, Caller: caller, To: processes, Wait: max(1, wait.Milliseconds()), Body: encoded}
	r := round{f: f, m: m, got: make(map[string]bool)}
	var own <-chan Answer
	if f.id != "" && m.isFor(f.id) {
		own = f.answerSelf(ctx, m.question())
	}
	if len(processes) == 0 || slices.ContainsFunc(processes, func(id string) bool { return id != f.id }) {
		err = r.askOthers(ctx)
	}
	if own != nil {
		select {
		case a := <-own:
			r.answers = append(r.answers, a)
		case <-ctx.Done():
			r.silent = append(r.silent, f.id)
		}
	}
	slices.SortStableFunc(r.answers, func(a, b Answer) int { return cmp.Compare(a.Process, b.Process) })
	slices.Sort(r.silent)
	return Answers{Answers: r.answers, Silent: slices.Compact(r.silent)}, err
}

// round is one question and the answers to it.
type round struct {
	f *Fleet
	m message

	answers []Answer
	got     map[string]bool // processes that have answered
	bytes   int             // of the answers
	silent  []string
}

// askOthers asks the other processes. An error says why they could not be asked, or not to the end.
func (r *round) askOthers(ctx context.Context) error {
	f := r.f
	if f.bus == nil {
		r.missing(r.m.To)
		return errNoBus
	}
	text, err := json.Marshal(r.m)
	if err != nil {
		return fmt.Errorf("encode a question: %w", err)
	}
	if len(text) > MaxQuestion {
		return errTooLong
	}
	f.mu.Lock()
	f.places[r.m.Place] = true
	heard := f.heard // this process receives its own question
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.places, r.m.Place)
		f.mu.Unlock()
	}()
	received, asked, err := f.bus.PublishQuestion(ctx, r.m.Place, string(text), time.Duration(r.m.Wait)*time.Millisecond)
	if err != nil {
		r.missing(r.m.To)
		return fmt.Errorf("the other processes are not known: %w", err)
	}
	if heard {
		received--
	}
	if len(r.m.To) > 0 {
		// Who has no lease is not waited for.
		known := asked
		asked = slices.DeleteFunc(slices.Clone(r.m.To), func(id string) bool { return !slices.Contains(known, id) })
		r.missing(slices.DeleteFunc(slices.Clone(r.m.To), func(id string) bool { return slices.Contains(known, id) }))
	}
	err = r.collect(ctx, asked, received)
	r.missing(asked)
	return err
}

// missing notes those of some processes that have not answered.
func (r *round) missing(processes []string) {
	for _, id := range processes {
		if id != r.f.id && !r.got[id] {
			r.silent = append(r.silent, id)
		}
	}
}

// complete reports whether all of some processes have answered.
func (r *round) complete(processes []string) bool {
	return !slices.ContainsFunc(processes, func(id string) bool { return id != r.f.id && !r.got[id] })
}

// collect takes answers until all processes that were asked have answered, or the time is over.
func (r *round) collect(ctx context.Context, asked []string, received int) error {
	look := minLook
	var late <-chan time.Time
	for {
		all, leased := len(r.m.To) > 0 || len(r.answers) >= received, r.complete(asked)
		if all && leased {
			return nil
		}
		if late == nil && leased || late == nil && all && len(r.m.To) == 0 {
			late = time.After(lateGrace)
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return nil
			}
			return context.Cause(ctx)
		case <-late:
			return nil
		case <-time.After(look):
		}
		texts, err := r.f.bus.TakeAnswers(ctx, r.m.Place)
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil:
			return fmt.Errorf("the other processes were asked, but: %w", err)
		}
		if err := r.take(texts); err != nil {
			return err
		}
		if look = min(look*3/2, maxLook); len(texts) > 0 {
			look = minLook
		}
	}
}

// take notes answers. What does not decode is left out.
func (r *round) take(texts []string) error {
	for _, text := range texts {
		var a Answer
		if json.Unmarshal([]byte(text), &a) != nil || a.Process == "" || (a.Body == nil) == (a.Err == "") {
			continue
		}
		if r.bytes += len(text); len(r.answers) >= maxAnswers || r.bytes > maxTotal {
			return errTooMuch
		}
		a.Err = short(a.Err)
		r.answers = append(r.answers, a)
		r.got[a.Process] = true
	}
	return nil
}
