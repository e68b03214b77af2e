package explain

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/fleet"
	"pushgate/internal/proto"
	"pushgate/internal/trail"
)

// The names of the questions that processes ask one another.
const (
	questionTrail = "explain"
	questionTrace = "trace"
)

// Bounds of one answer.
const (
	mostSessions = 200
	mostPosts    = 50
	mostRefusals = 20
)

// mostInLine is how many questions wait for each other. It is less than a process takes from others
// at a time, so that questions of other kinds find room.
const mostInLine = 8

// Edge is an edge as a process knows it. *edge.Edge implements it.
type Edge interface {
	Trail() *trail.Edge
	// Sessions returns the living sessions that watch one of some channels; ids may be nil.
	Sessions(ids []channel.ID, marks []trail.Mark) []trail.Past
	// When returns when the edge was notified of a message.
	When(portal string, id proto.ID) *trail.Span
}

// Parts are the parts of a process that remember something. Both may be nil.
type Parts struct {
	Edge  Edge
	Posts *trail.Posts // of its publisher
}

// Register makes a process answer the questions of others. It must be called before f runs. What is
// remembered is looked through for one question at a time: connections need the other processors.
func (p Parts) Register(f *fleet.Fleet) {
	line, turn := make(chan struct{}, mostInLine), make(chan struct{}, 1)
	f.Handle(questionTrail, func(ctx context.Context, q fleet.Question) (any, error) {
		select {
		case line <- struct{}{}:
			defer func() { <-line }()
		default:
			return nil, errors.New("the process is busy with other questions about messages; ask again")
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var asked question
		if err := json.Unmarshal(q.Body, &asked); err != nil {
			return nil, errors.New("the question is not understood; the process may be of another version")
		}
		return p.answer(asked)
	})
	f.Handle(questionTrace, func(_ context.Context, q fleet.Question) (any, error) {
		var asked traceQuestion
		if err := json.Unmarshal(q.Body, &asked); err != nil {
			return nil, errors.New("the question is not understood; the process may be of another version")
		}
		return p.take(asked)
	})
}

// question is about a message, if it has an id, and about channels.
type question struct {
	Portal   string       `json:"portal"` // "" is any
	ID       proto.ID     `json:"id"`
	Channels []string     `json:"channels"` // as far as they are known
	Marks    []trail.Mark `json:"marks"`
}

// local is what one process knows.
type local struct {
	Now       int64           `json:"now"` // unix microseconds
	Edge      bool            `json:"edge"`
	Reach     trail.Reach     `json:"reach"`       // of an edge
	PostsFrom int64           `json:"posts_since"` // unix microseconds
	Posts     []trail.Post    `json:"posts"`
	Heard     *trail.Span     `json:"heard"`
	Sessions  []trail.Past    `json:"sessions"`
	Many      bool            `json:"many"` // there are more sessions
	Events    []trail.Event   `json:"events"`
	Refused   []trail.Refusal `json:"refused"`
}

func (p Parts) answer(q question) (local, error) {
	a := local{Now: time.Now().UnixMicro()}
	ids := make([]channel.ID, 0, len(q.Channels))
	for _, text := range q.Channels {
		id, err := channel.Restore(text)
		if err != nil {
			return a, errors.New("a channel of the question is none")
		}
		ids = append(ids, id)
	}
	var marks []trail.Mark // of posts: with an id, its channels do not matter
	if q.ID.IsZero() {
		marks = q.Marks
	}
	// The receivers of a message are known from its post.
	posts := q.ID.IsZero() || len(q.Marks) == 0
	a.PostsFrom = p.Posts.Since()
	if posts {
		a.Posts = p.Posts.Find(q.Portal, q.ID, marks, mostPosts)
	}
	if p.Edge == nil {
		return a, nil
	}
	t := p.Edge.Trail()
	a.Edge = true
	if posts {
		a.Posts = append(a.Posts, t.Posts().Find(q.Portal, q.ID, marks, mostPosts)...)
	}
	if len(q.Marks) == 0 {
		a.Reach = t.Since()
		return a, nil
	}
	if !q.ID.IsZero() {
		a.Heard = p.Edge.When(q.Portal, q.ID)
	}
	// The living ones first: one that ends meanwhile is in both, and not in neither.
	living := p.Edge.Sessions(ids, q.Marks)
	ended, many := t.Ended(q.Marks, q.ID, mostSessions)
	a.Many = many || len(living) == mostSessions
	numbers := make([]uint64, 0, len(living)+len(ended))
	over := make(map[uint64]bool, len(ended))
	for _, s := range ended {
		over[s.Number] = true
		a.Sessions, numbers = append(a.Sessions, s), append(numbers, s.Number)
	}
	for _, s := range living {
		if !over[s.Number] {
			a.Sessions, numbers = append(a.Sessions, s), append(numbers, s.Number)
		}
	}
	if !q.ID.IsZero() {
		a.Events = t.Events(numbers, q.ID)
	}
	a.Refused = t.Refusals(q.Marks, mostRefusals)
	a.Reach = t.Since() // last: what is dropped meanwhile counts as unknown
	return a, nil
}
