package hub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// pages is a Log that returns one page after the other, and then empty pages.
func pages(all ...proto.Page) logFunc {
	return func(context.Context, []channel.ID, proto.ID) (page proto.Page, err error) {
		if len(all) > 0 {
			page, all = all[0], all[1:]
		}
		return page, nil
	}
}

// stored makes messages to Alice.
func stored(sequences ...int) (all []*proto.Message) {
	for _, n := range sequences {
		all = append(all, message(n, alice))
	}
	return all
}

// TestGap checks the gaps that a session with a cursor of 5 reports.
func TestGap(t *testing.T) {
	none := proto.ID{}
	for _, c := range []struct {
		name string
		page proto.Page
		live []*proto.Message // in the inbox when the page comes
		want *Gap
	}{
		{"nothing", proto.Page{Messages: stored(8), Through: id(9), Head: id(9)}, nil, nil},
		{"before the first that is left", proto.Page{Messages: stored(8, 9), Through: id(9), Head: id(9), Lost: id(6)}, nil,
			&Gap{Index: 0, ID: id(7), After: id(5), Before: id(8)}},
		{"none is left", proto.Page{Through: id(9), Head: id(9), Lost: id(6)}, nil, &Gap{Index: 0, ID: id(9), After: id(5), Before: id(9)}},
		{"none is left, live ones go on", proto.Page{Through: id(9), Head: id(9), Lost: id(6)}, stored(10, 12),
			&Gap{Index: 0, ID: id(9), After: id(5), Before: id(10)}},
		// Another channel still has the first messages.
		{"behind the first", proto.Page{Messages: stored(6, 7, 9), Through: id(9), Head: id(9), Lost: id(8)}, nil,
			&Gap{Index: 2, ID: id(8), After: id(5), Before: id(9)}},
		{"behind all", proto.Page{Messages: stored(6, 7), Through: id(9), Head: id(9), Lost: id(8)}, nil,
			&Gap{Index: 2, ID: id(9), After: id(5), Before: id(9)}},
		{"none: another channel has had what one has trimmed", proto.Page{Messages: stored(6, 7, 8), Through: id(8), Head: id(8), Lost: id(7)}, nil, nil},
		{"an epoch", proto.Page{Messages: []*proto.Message{{ID: proto.ID{Epoch: 2, Sequence: 1}, Receivers: []channel.ID{alice}}},
			Through: proto.ID{Epoch: 2, Sequence: 1}, Head: proto.ID{Epoch: 2, Sequence: 1}, Lost: proto.ID{Epoch: 2}}, nil,
			&Gap{Index: 0, ID: proto.ID{Epoch: 2}, After: id(5), Before: proto.ID{Epoch: 2, Sequence: 1}}},
		{"an epoch without a message", proto.Page{Through: proto.ID{Epoch: 2}, Head: proto.ID{Epoch: 2}, Lost: proto.ID{Epoch: 2}}, nil,
			&Gap{Index: 0, ID: proto.ID{Epoch: 2}, After: id(5), Before: proto.ID{Epoch: 2}}},
		{"a cursor ahead of the log", proto.Page{Messages: stored(1, 2), Through: id(3), Head: id(3), Lost: id(5)}, nil,
			&Gap{Index: 0, ID: id(0), After: id(5), Before: id(1)}},
		{"a cursor ahead of a log without messages", proto.Page{Through: id(3), Head: id(3), Lost: id(5)}, nil,
			&Gap{Index: 0, ID: id(3), After: id(5), Before: id(3)}},
		{"a cursor ahead of an empty log", proto.Page{Lost: id(5)}, nil, &Gap{Index: 0, ID: none, After: id(5), Before: none}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := New(pages(c.page), Config{})
			h.Resync(id(5))
			cursor := id(5)
			s := h.Attach([]channel.ID{alice}, &cursor, func() {})
			for _, m := range c.live {
				h.Dispatch(m)
			}
			batch := next(s)
			if len(batch.Messages) != len(c.page.Messages)+len(c.live) {
				t.Fatalf("%d messages", len(batch.Messages))
			}
			reported := uint64(0)
			if c.want != nil {
				reported = 1
			}
			switch {
			case (batch.Gap == nil) != (c.want == nil):
				t.Errorf("reported %+v, want %+v", batch.Gap, c.want)
			case c.want != nil && *batch.Gap != *c.want:
				t.Errorf("reported %+v, want %+v", *batch.Gap, *c.want)
			}
			if n := h.Stats().Gaps.Load(); n != reported || h.Stats().GapsReported.Load() != reported {
				t.Errorf("%d gaps counted, %d reported", n, h.Stats().GapsReported.Load())
			}
			if again := next(s); len(again.Messages) > 0 || again.Gap != nil {
				t.Errorf("then %+v", again)
			}
			if s.Cursor().After(c.page.Head) && len(c.live) == 0 {
				t.Errorf("cursor %v is ahead of the log", s.Cursor())
			}
		})
	}
}

// TestGapOfManyPagesIsToldOnce: every page before a gap has it, but the session returns it once.
func TestGapOfManyPagesIsToldOnce(t *testing.T) {
	h := New(pages(
		// Nothing is missing in this page.
		proto.Page{Messages: stored(6, 7), Through: id(7), Head: id(30), Lost: id(20), More: true},
		proto.Page{Messages: stored(9, 10), Through: id(10), Head: id(30), Lost: id(20), More: true},
		proto.Page{Messages: stored(15, 16), Through: id(16), Head: id(30), Lost: id(20), More: true},
		proto.Page{Messages: stored(25), Through: id(30), Head: id(30), Lost: id(20)},
	), Config{GapInterval: 1})
	h.Resync(id(30))
	cursor := id(5)
	s := h.Attach([]channel.ID{alice}, &cursor, func() {})
	for page, want := range []*Gap{nil, {Index: 0, ID: id(8), After: id(7), Before: id(30)}, nil, nil} {
		batch := next(s)
		if (batch.Gap == nil) != (want == nil) || want != nil && *batch.Gap != *want {
			t.Errorf("page %d: %+v", page, batch.Gap)
		}
	}
	if n := h.Stats().Gaps.Load(); n != 1 {
		t.Errorf("%d gaps counted", n)
	}
}

// TestGapsArePaced: a second gap within a minute is reported after the minute, from the position
// that the client had when the gap arose.
func TestGapsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(pages(
			proto.Page{Messages: stored(10), Through: id(10), Head: id(10), Lost: id(8)},
			proto.Page{Messages: stored(20), Through: id(20), Head: id(20), Lost: id(15)},
			proto.Page{Messages: stored(30), Through: id(30), Head: id(30), Lost: id(25)},
		), Config{})
		h.Resync(id(10))
		cursor := id(5)
		s := h.Attach([]channel.ID{alice}, &cursor, func() {})
		gap := func() *Gap {
			t.Helper()
			batch := next(s)
			if len(batch.Messages) != 1 {
				t.Fatalf("%+v", batch)
			}
			return batch.Gap
		}
		if gap() == nil {
			t.Error("not reported")
		}
		for _, head := range []int{20, 30} {
			time.Sleep(25 * time.Second)
			h.Resync(id(head))
			if gap := gap(); gap != nil {
				t.Errorf("reported %+v", gap)
			}
		}
		time.Sleep(10 * time.Second)
		h.Dispatch(message(31, alice)) // no id is free before it
		if gap := gap(); gap != nil {
			t.Errorf("reported %+v", gap)
		}
		h.Dispatch(message(33, alice))
		if gap := gap(); gap == nil || *gap != (Gap{Index: 0, ID: id(32), After: id(10), Before: id(33)}) {
			t.Errorf("reported %+v", gap)
		}
		h.Dispatch(message(40, alice))
		if gap := gap(); gap != nil {
			t.Errorf("reported again: %+v", gap)
		}
		if h.Stats().Gaps.Load() != 3 || h.Stats().GapsReported.Load() != 2 {
			t.Errorf("%d gaps counted, %d reported", h.Stats().Gaps.Load(), h.Stats().GapsReported.Load())
		}
	})
}

// TestGapAfterTransientMessages: their ids are the client's newest, although they do not move the
// cursor.
func TestGapAfterTransientMessages(t *testing.T) {
	h := New(pages(
		proto.Page{Through: id(5), Head: id(5)},
		proto.Page{Messages: stored(10), Through: id(10), Head: id(10), Lost: id(8)},
	), Config{})
	h.Resync(id(5))
	cursor := id(5)
	s := h.Attach([]channel.ID{alice}, &cursor, func() {})
	want(t, sequences(t, s))
	typing := message(9, alice)
	typing.TTL = 0
	h.Dispatch(typing)
	want(t, sequences(t, s), 9)
	h.Resync(id(10))
	if batch := next(s); batch.Gap != nil || len(batch.Messages) != 1 {
		t.Errorf("%+v: there is no free id between 9 and 10", batch)
	}
}
