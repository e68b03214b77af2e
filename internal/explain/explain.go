// Package explain finds out what became of a message, and why somebody did not get it.
//
// It asks all processes what they remember, and the log what it holds. It also says what nobody
// knows.
package explain

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/fleet"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/trail"
)

// Log is the part of a portal's log that is asked. *store.Log implements it.
type Log interface {
	Look(ctx context.Context, id proto.ID, channels []channel.ID) (store.Found, error)
	Newest(ctx context.Context, id channel.ID, most int) (ids []proto.ID, length int, err error)
}

// Explainer answers questions. Its methods may be called concurrently.
type Explainer struct {
	Logs func(portal string) Log
	// Past returns the processes of the last hour, and when each was last there.
	Past    func(ctx context.Context) (map[string]time.Time, error)
	Fleet   *fleet.Fleet
	Portals func() *portal.Table // at present
	Logger  *slog.Logger         // for what goes wrong, which the answer says in fewer words
}

// The errors of [Explainer.Explain], beside those of [ParseQuery].
var (
	ErrPortal      = errors.New("there is no such portal")
	ErrWhichPortal = errors.New("there are several portals: say in which one the message is")
)

// portal returns the portal with a name, which must exist; of the only one if name is empty.
func (x *Explainer) portal(name string) (*portal.Portal, error) {
	t := x.Portals()
	if name == "" && !t.Shared() {
		return t.Personal(), nil
	}
	for _, p := range t.All() {
		if p.Name() == name {
			return p, nil
		}
	}
	if name == "" {
		return nil, ErrWhichPortal
	}
	return nil, ErrPortal
}

// Explain answers a question in the form that [ParseQuery] reads, about a portal, which may be
// empty if there is only one. caller is who asks, for logs.
func (x *Explainer) Explain(ctx context.Context, text, portal, caller string) (*Report, error) {
	q, err := ParseQuery(text)
	if err != nil {
		return nil, err
	}
	p, err := x.portal(portal)
	if errors.Is(err, ErrPortal) {
		return nil, err
	}
	r := &Report{Query: q.String(), Kind: q.Kind, Now: time.Now().UnixMilli()}
	if p != nil {
		r.Portal = p.Name()
	}
	w := work{Explainer: x, report: r, caller: caller}
	switch q.Kind {
	case KindMessage:
		err = w.message(ctx, q.ID)
	case KindList, KindToken:
		if p == nil {
			return nil, err
		}
		w.list(p, q)
		err = w.channels(ctx, r.listed)
	default:
		err = w.channels(ctx, q.Channels)
	}
	if err != nil {
		return nil, err
	}
	r.finish()
	return r, nil
}

// work is one question that is being answered.
type work struct {
	*Explainer
	report *Report
	caller string
}

// answers asks all processes, and notes those that do not answer. since is from when on their
// memories matter, in unix microseconds; 0 if that is not known.
func (w *work) answers(ctx context.Context, q question, since int64) (map[string]local, error) {
	got, err := w.Fleet.Ask(ctx, questionTrail, w.caller, q)
	if err != nil {
		w.Logger.Warn("processes not asked what they remember", "error", err)
		w.report.miss("", MissOthers, 0)
	}
	all := make(map[string]local)
	for _, a := range got.Answers {
		var l local
		if a.Err != "" || json.Unmarshal(a.Body, &l) != nil {
			w.Logger.Warn("process does not say what it remembers", "process", a.Process, "answer", a.Err)
			w.report.miss(a.Process, MissSilent, 0)
			continue
		}
		all[a.Process] = l
	}
	for _, id := range got.Silent {
		w.report.miss(id, MissSilent, 0)
	}
	past, err := w.Past(ctx)
	if err != nil {
		w.report.miss("", MissLog, 0)
	}
	for id, last := range past {
		if _, answered := all[id]; !answered && !slices.Contains(got.Silent, id) && last.Add(leaseSlack).UnixMicro() >= since {
			w.report.miss(id, MissGone, last.UnixMilli())
		}
	}
	return all, ctx.Err()
}

// leaseSlack is how long a process may have been there after its last sign of life.
const leaseSlack = 10 * time.Second

// Where a message is, for [Message].
const (
	StateStored    = "stored"
	StateTransient = "transient"
	StateExpired   = "expired"
	StateGone      = string(Gone)
	StateNotFound  = string(NotFound)
	StateUnknown   = string(Unknown)
)

func (w *work) message(ctx context.Context, id proto.ID) error {
	r := w.report
	first, err := w.answers(ctx, question{Portal: r.Portal, ID: id}, 0)
	if err != nil {
		return err
	}
	m := &Message{ID: id, State: StateUnknown}
	r.Message = m
	var posts []trail.Post
	for process, a := range first {
		for _, p := range a.Posts {
			posts = append(posts, p)
			m.Accepted = append(m.Accepted, accepted(process, p))
		}
	}
	if r.Portal == "" { // of many portals
		if len(posts) == 0 {
			return ErrWhichPortal
		}
		r.Portal = posts[0].Portal
	}
	r.Unknown = nil // of these processes, the second answers count
	f := facts{id: id}
	found, err := w.Logs(r.Portal).Look(ctx, id, nil)
	if err != nil {
		w.Logger.Warn("log not asked for a message", "portal", r.Portal, "error", err)
		r.miss("", MissLog, 0)
	}
	receivers, marks := m.describe(found, err, posts, &f)
	if f.created == 0 && len(posts) == 0 { // nobody knows of it
		if m.State == StateNotFound || m.State == StateGone {
			for process, a := range first {
				r.reach(process, a, MissPosts, a.PostsFrom, 0)
			}
		}
	}
	if len(marks) == 0 {
		if err == nil && m.State != StateNotFound && m.State != StateGone {
			r.miss("", MissChannels, 0)
		}
		return w.answered(ctx, f)
	}
	q := question{Portal: r.Portal, ID: id, Marks: marks}
	for _, c := range receivers {
		q.Channels = append(q.Channels, c.String())
	}
	second, err := w.answers(ctx, q, f.created)
	if err != nil {
		return err
	}
	if len(m.Accepted) == 0 {
		for process, a := range second {
			r.reach(process, a, MissPosts, a.PostsFrom, f.created)
		}
	}
	r.judge(f, second, receivers, marks)
	return nil
}

// answered ends a question about a message whose receivers are not known.
func (w *work) answered(ctx context.Context, f facts) error {
	why := Unknown
	switch w.report.Message.State {
	case StateNotFound:
		why = NotFound
	case StateGone:
		why = Gone
	}
	if _, err := w.answers(ctx, question{Portal: w.report.Portal, ID: f.id}, f.created); err != nil {
		return err
	}
	w.report.Verdicts = append(w.report.Verdicts, Verdict{Why: why})
	return nil
}

// describe notes what the log and the publishers know, and returns the receivers, as far as they
// are known, with their marks.
func (m *Message) describe(found store.Found, err error, posts []trail.Post, f *facts) (receivers []channel.ID, marks []trail.Mark) {
	for _, p := range posts {
		m.Type, m.Life, m.Rule, m.RuleLife, m.Receivers = p.Type, p.Life, p.Rule, p.Longest, p.Receivers
		f.created, f.transient = p.Created, p.Life == 0
		if p.Life > 0 {
			f.expires = p.Created + p.Life*1000
		}
		marks = p.Marks
	}
	switch record := found.Message; {
	case err != nil:
		return nil, marks
	case record != nil:
		m.State, m.Expires = StateStored, time.Now().Add(found.Left).UnixMilli()
		m.Type, m.Life, m.Bytes, m.Receivers = record.Type, record.TTL.Milliseconds(), len(record.Body), len(record.Receivers)
		m.Sender = map[proto.SenderType]string{proto.SenderClient: "client", proto.SenderBackend: "portal"}[record.Sender.Type]
		f.created, f.expires = record.Created.UnixMicro(), time.Now().Add(found.Left).UnixMicro()
		receivers = record.Receivers[:min(len(record.Receivers), mostReceivers)]
		marks = trail.MarksOf(receivers)
	case f.transient && len(posts) > 0:
		m.State = StateTransient
	case !found.Ended.IsZero() && f.id.After(found.Ended):
		m.State = StateGone
	case f.id.After(found.Head):
		m.State = StateNotFound
	case f.expires != 0 && time.Now().UnixMicro() > f.expires:
		m.State = StateExpired
	case len(posts) > 0 && posts[0].Outcome == trail.Stored:
		m.State = StateGone // it had not expired
	case len(posts) == 0:
		m.State = StateUnknown
	}
	if f.created > 0 {
		m.Created = f.created / 1000
	}
	for _, l := range found.Lists {
		list := List{Channel: name(l.Channel), Listed: l.Listed, Trimmed: !l.Listed && !l.Trimmed.IsZero() && !f.id.After(l.Trimmed)}
		f.trimmed = f.trimmed || list.Trimmed
		m.Lists = append(m.Lists, list)
	}
	return receivers, marks
}

// mostReceivers is how many receivers of a message are looked at.
const mostReceivers = 64
