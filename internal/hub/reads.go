package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Pace bounds what hubs ask of their logs at a time, all together: Redis does one thing at a time, and whoever publishes waits behind
// what it was asked before. It is made by [NewPace], and immutable but for the tokens.
type Pace struct {
	trips     chan struct{} // a token for each round trip under way
	questions int
}

// NewPace allows so many round trips to logs at a time, each with so many questions at most.
func NewPace(trips, questions int) *Pace {
	return &Pace{trips: make(chan struct{}, trips), questions: questions}
}

// DefaultPace is right for one process. A question costs Redis about 0.1 ms if a session missed 20 messages, so that what others ask waits
// for some milliseconds in the worst storm.
func DefaultPace() *Pace { return NewPace(4, 16) }

// reads is the line of the questions that sessions have for the log. Whoever waits in it takes its head to the log when the pace allows a
// trip, be its own question there or not; so the longer the line, the more goes with one trip.
type reads struct {
	mu   sync.Mutex
	line []*read          // in order of arrival
	open map[string]*read // those in the line, by what they ask
}

// read is one question on its way, and all who want to know.
type read struct {
	proto.Question
	name     string
	answer   proto.Answer  // once answered is closed
	answered chan struct{} // closed when there is an answer

	// Guarded by reads.mu.
	askers int
	taken  bool // it has left the line
}

// read reads one page of what was notified of late, or of the log. Reads of the log are paced: a storm of sessions waits here, holding
// nothing but its place. It tries again until ctx ends.
func (h *Hub) read(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	q := proto.Question{Channels: channels, After: after}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if page, ok := h.recent.page(q, h.config.InboxMessages, h.config.InboxBytes); ok {
			h.stats.Recalled.Add(1)
			return page, nil
		}
		answer, ok := h.ask(ctx, q)
		if !ok {
			return proto.Page{}, context.Cause(ctx)
		}
		if answer.Err == nil {
			return answer.Page, nil
		}
		h.stats.ReplayErrors.Add(1)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return proto.Page{}, fmt.Errorf("%w, after the log could not be read: %w", context.Cause(ctx), answer.Err)
		}
	}
}

// ask stands in the line until there is an answer, or ctx has ended: then it reports false.
func (h *Hub) ask(ctx context.Context, q proto.Question) (proto.Answer, bool) {
	r := h.reads.enter(q)
	trips := h.pace.trips
	for {
		select {
		case <-r.answered:
			return r.answer, true
		case trips <- struct{}{}:
			h.trip(ctx)
			<-h.pace.trips
			if h.reads.left(r) {
				trips = nil // it is on its way, and who has taken it will bring the answer
			}
		case <-ctx.Done():
			h.reads.abandon(r)
			return proto.Answer{}, false
		}
	}
}

// trip takes the head of the line to the log. It does not end with the context of who makes it, since others wait for it.
func (h *Hub) trip(ctx context.Context) {
	some := h.reads.take(h.pace.questions)
	if len(some) == 0 {
		return
	}
	questions := make([]proto.Question, len(some))
	for i, r := range some {
		questions[i] = r.Question
	}
	h.stats.Trips.Add(1)
	answers := h.log.Histories(context.WithoutCancel(ctx), questions)
	for i, r := range some {
		r.answer = answers[i]
		close(r.answered)
	}
}

// enter puts a question into the line, or joins one that stands there and is the same. One that is already on its way is not joined: its
// snapshot may be older than the session that asks.
func (rs *reads) enter(q proto.Question) *read {
	name, _ := q.After.AppendText(make([]byte, 0, proto.IDLen+len(q.Channels)*channel.IDLen))
	for _, id := range q.Channels {
		name, _ = id.AppendText(name)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.open[string(name)]
	if r == nil {
		r = &read{Question: q, name: string(name), answered: make(chan struct{})}
		if rs.open == nil {
			rs.open = make(map[string]*read)
		}
		rs.open[r.name] = r
		rs.line = append(rs.line, r)
	}
	r.askers++
	return r
}

// take takes so many questions at most from the head of the line.
func (rs *reads) take(most int) []*read {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	some := slices.Clone(rs.line[:min(most, len(rs.line))])
	rs.line = slices.Delete(rs.line, 0, len(some))
	for _, r := range some {
		r.taken = true
		delete(rs.open, r.name)
	}
	return some
}

func (rs *reads) left(r *read) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return r.taken
}

// abandon takes one asker off a question, and the question out of the line with the last one.
func (rs *reads) abandon(r *read) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.askers--; r.askers > 0 || r.taken {
		return
	}
	delete(rs.open, r.name)
	i := slices.Index(rs.line, r)
	rs.line = slices.Delete(rs.line, i, i+1)
}
