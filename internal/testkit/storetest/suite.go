package storetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// Log is a log under test.
type Log interface {
	Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error)
	History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error)
	Histories(ctx context.Context, questions []proto.Question) []proto.Answer
	Head(ctx context.Context, known proto.ID) (proto.ID, error)
	Follow(ctx context.Context, f proto.Follower) error
	SetPresence(ctx context.Context, edge string, changes []proto.Presence, replace bool) (moved []proto.Status, kept bool, err error)
	Online(ctx context.Context, channels []channel.ID) ([]int, error)
	LastSeen(ctx context.Context, users []int64) ([]int, []time.Time, error)
	SetSeen(ctx context.Context, seen ...proto.Seen) error
	Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error
	Lift(ctx context.Context, entry revoke.Entry) error
	Revocations(ctx context.Context, known proto.ID) (revoke.List, proto.ID, error)
	RevokedAny(ctx context.Context, entries ...revoke.Entry) (bool, error)
}

// Stats are the statistics of processes under test.
type Stats interface {
	PutProcess(ctx context.Context, p proto.Process) error
	DropProcess(ctx context.Context, id string) error
	Processes(ctx context.Context) ([]proto.Process, error)
}

var (
	_ Log   = (*Memory)(nil)
	_ Stats = (*Memory)(nil)
	_ Log   = (*store.Log)(nil)
	_ Stats = (*store.Store)(nil)
)

// Subject is an empty log under test and what the suite can do to it.
type Subject struct {
	Log     Log
	Stats   Stats
	Advance func(d time.Duration) // moves the log's clock
	Now     func() time.Time      // the time on the log's clock
	Flush   func()                // deletes all data, and closes no connection
	Cut     func()                // cuts the links of notifications; they may be made again
}

// Factory returns a new subject, which is closed when the test ends.
type Factory func(t *testing.T, cfg store.Config) Subject

// Run tests the behaviour that all logs share. It must not be called in a bubble, because it waits
// for followers in real time.
func Run(t *testing.T, factory Factory) {
	for _, c := range slices.Concat(logCases(), lifeCases(), followCases(), revokeCases()) {
		t.Run(c.name, func(t *testing.T) {
			c.run(&bench{T: t, Subject: factory(t, inTime(c.cfg))})
		})
	}
	t.Run("model", func(t *testing.T) { runModel(t, factory) })
}

// inTime returns cfg with a time-out that is long enough on a busy machine. Time-outs are tested
// elsewhere.
func inTime(cfg store.Config) store.Config {
	cfg.Timeout = testkit.Patience
	return cfg
}

// testCase is one behaviour.
type testCase struct {
	name string
	cfg  store.Config
	run  func(b *bench)
}

// bench is a subject with the tools of a test.
type bench struct {
	*testing.T
	Subject
}

// ch returns the channel with a number.
func ch(n byte) channel.ID { return channel.FromBytes([channel.IDLen / 2]byte{n, 0xab}) }

// msg returns a message with a body.
func msg(ttl time.Duration, text string, receivers ...channel.ID) *proto.Message {
	return &proto.Message{
		Receivers: receivers, Type: "im_message", Body: []byte(text), TTL: ttl,
		Created: time.Date(2026, 11, 20, 9, 30, 1, 123456000, time.UTC),
	}
}

func (b *bench) append(msgs ...*proto.Message) []proto.Receipt {
	b.Helper()
	receipts, err := b.Log.Append(b.Context(), msgs...)
	if err != nil || len(receipts) != len(msgs) {
		b.Fatalf("append: %d receipts, %v", len(receipts), err)
	}
	return receipts
}

// post appends one message, which no channel may refuse.
func (b *bench) post(ttl time.Duration, text string, receivers ...channel.ID) proto.ID {
	b.Helper()
	r := b.append(msg(ttl, text, receivers...))[0]
	if r.ID.IsZero() || len(r.Closed) > 0 {
		b.Fatalf("append %s: %+v", text, r)
	}
	return r.ID
}

func (b *bench) head(known proto.ID) proto.ID {
	b.Helper()
	head, err := b.Log.Head(b.Context(), known)
	if err != nil {
		b.Fatalf("head: %v", err)
	}
	return head
}

// page reads one page, and checks what is true of every page.
func (b *bench) page(after proto.ID, channels ...channel.ID) proto.Page {
	b.Helper()
	p, err := b.Log.History(b.Context(), channels, after)
	if err != nil {
		b.Fatalf("history: %v", err)
	}
	last := after
	if after.After(p.Head) {
		if !p.Gap() {
			b.Error("a cursor ahead of the log, and no gap")
		}
		last = proto.ID{}
	}
	if p.More && !p.Through.After(last) {
		b.Fatalf("no progress: more, but through %v after %v", p.Through, last)
	}
	for _, m := range p.Messages {
		if !m.ID.After(last) || m.ID.After(p.Through) || m.Via(channels) < 0 {
			b.Fatalf("message %v to %d receivers out of place: after %v, through %v", m.ID, len(m.Receivers), last, p.Through)
		}
		last = m.ID
	}
	if !p.More && p.Through != p.Head && !p.Through.After(p.Head) {
		b.Errorf("complete through %v only, with head %v", p.Through, p.Head)
	}
	return p
}

// all reads page after page, and reports whether any had a gap.
func (b *bench) all(after proto.ID, channels ...channel.ID) (texts []string, gap bool) {
	b.Helper()
	for {
		p := b.page(after, channels...)
		texts = append(texts, bodies(p)...)
		gap = gap || p.Gap()
		if !p.More {
			return texts, gap
		}
		after = p.Through
	}
}

// want checks that the log has exactly these messages and no gap. texts are their bodies, separated
// by spaces.
func (b *bench) want(texts string, after proto.ID, channels ...channel.ID) {
	b.Helper()
	got, gap := b.all(after, channels...)
	if strings.Join(got, " ") != texts {
		b.Errorf("history after %v: %q, want %q", after, strings.Join(got, " "), texts)
	}
	if gap {
		b.Errorf("history after %v: a gap", after)
	}
}

func bodies(p proto.Page) []string {
	texts := make([]string, len(p.Messages))
	for i, m := range p.Messages {
		texts[i] = string(m.Body)
	}
	return texts
}
