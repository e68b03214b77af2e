package trail

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func id(sequence uint64) proto.ID { return message(sequence).ID }

// TestRing: the newest records are there, whole and in order, within the bytes, and Since says
// where they begin.
func TestRing(t *testing.T) {
	const bytes = 4 * chunkBytes
	r := NewRing(bytes)
	if began := r.Since(); time.Since(time.UnixMicro(began)) > time.Minute {
		t.Error(began)
	}
	for i := range uint64(50_000) {
		r.Append(int64(1000+i), i, 1<<63, i*i)
	}
	var first, last, n uint64
	r.Each(func(at int64, fields []uint64) {
		i := fields[0]
		if at != int64(1000+i) || len(fields) != 3 || fields[1] != 1<<63 || fields[2] != i*i || n > 0 && i != last+1 {
			t.Fatalf("record %d at %d: %v", i, at, fields)
		}
		if n == 0 {
			first = i
		}
		last = i
		n++
	})
	if last != 49_999 || r.Since() != int64(1000+first) || r.Bytes() > bytes || n < 1000 {
		t.Errorf("records %d to %d, since %d, %d bytes", first, last, r.Since(), r.Bytes())
	}
	if NewRing(0) != nil {
		t.Error("a ring of no bytes")
	}
	var none *Ring
	none.Append(1, 2)
	none.Each(func(int64, []uint64) { t.Error("a record") })
}

// TestRingConcurrently: readers see whole records while others write.
func TestRingConcurrently(t *testing.T) {
	r := NewRing(2 * chunkBytes)
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for i := range uint64(20_000) {
				r.Append(int64(i), i, i+1)
			}
		})
	}
	for range 20 {
		r.Each(func(at int64, fields []uint64) {
			if len(fields) != 2 || fields[1] != fields[0]+1 || at != int64(fields[0]) {
				t.Errorf("%d: %v", at, fields)
			}
		})
	}
	writing.Wait()
}

// TestPosts: a post is found by its id and by its receivers, with what became of it.
func TestPosts(t *testing.T) {
	p := NewPosts(1<<20, func(typ string) (string, time.Duration) { return typ + "=1h", time.Hour })
	long := message(0)
	for i := range 100 {
		long.Receivers = append(long.Receivers, testkit.Channel(byte(100+i)))
	}
	msgs := []*proto.Message{message(0, alice), message(0, alice, bob), message(0, bob), long}
	receipts := []proto.Receipt{{ID: id(7)}, {ID: id(3), Repeated: true}, {}, {ID: id(8)}}
	p.Note("a", msgs, receipts, nil)
	p.Note("b", msgs[:1], receipts[:1], nil)
	p.Note("a", msgs[2:3], nil, fmt.Errorf("away"))
	got := func(posts []Post) (texts []string) {
		for _, post := range posts {
			texts = append(texts, fmt.Sprint(post.Portal, " ", post.ID.Sequence, " ", post.Outcome, " ", post.Type, " ", post.Life, " ", post.Rule, " ", post.Longest, " ", post.Receivers, " ", len(post.Marks)))
		}
		return texts
	}
	const rest = " im_message 86400000 im_message=1h 3600000 "
	for _, c := range []struct {
		what string
		got  []Post
		want []string
	}{
		{"by id", p.Find("a", id(7), nil, 10), []string{"a 7 stored" + rest + "1 1"}},
		{"by id, any portal", p.Find("", id(7), nil, 10), []string{"a 7 stored" + rest + "1 1", "b 7 stored" + rest + "1 1"}},
		{"by receiver", p.Find("a", proto.ID{}, []Mark{MarkOf(bob)}, 10), []string{"a 3 repeated" + rest + "2 2", "a 0 closed" + rest + "1 1", "a 0 failed" + rest + "1 1"}},
		{"the newest", p.Find("a", proto.ID{}, []Mark{MarkOf(bob)}, 1), []string{"a 0 failed" + rest + "1 1"}},
		{"of many receivers", p.Find("a", proto.ID{}, []Mark{MarkOf(testkit.Channel(163))}, 1), []string{"a 8 stored" + rest + "100 64"}},
		{"unknown", p.Find("c", id(7), nil, 10), nil},
	} {
		if diff := testkit.Diff(c.want, got(c.got)); diff != "" {
			t.Errorf("%s:\n%s", c.what, diff)
		}
	}
}

// TestHeard: messages with consecutive ids share a record, and each is found, with its time to 50
// ms.
func TestHeard(t *testing.T) {
	e := NewEdge(1<<20, nil)
	h := e.Heard("a")
	start := time.UnixMicro(1_700_000_000_000_000)
	for i := range uint64(200) {
		if i == 100 {
			continue // it was not heard of
		}
		m := message(i)
		m.Received = start.Add(time.Duration(i) * 10 * time.Millisecond)
		h.Note(m)
	}
	for i := range uint64(201) {
		at := start.Add(time.Duration(i) * 10 * time.Millisecond).UnixMicro()
		span := e.When("a", id(i), h)
		if known := i != 100 && i != 200; (span != nil) != known || known && (span.From > at || span.To < at || span.To-span.From > 50_000) {
			t.Errorf("%d at %d: %+v", i, at, span)
		}
	}
	if span := e.When("b", id(1), nil); span != nil {
		t.Errorf("of another portal: %+v", span)
	}
	n := 0
	e.heard.Each(func(int64, []uint64) { n++ })
	if n > 45 {
		t.Errorf("%d records of 199 messages", n)
	}
	h.End()
	if e.When("a", id(199), nil) == nil {
		t.Error("the last ones were not kept")
	}
}

// TestEnded: a session that has ended is found by each of its channels, as it was.
func TestEnded(t *testing.T) {
	e := NewEdge(1<<20, nil)
	s := e.Begin("a", []channel.ID{alice, bob}, false, nil)
	want := Past{Number: s.Number, Portal: "a", Kind: "sse", Channels: MarksOf([]channel.ID{alice, bob}), Began: s.Began, Ended: s.Began + 5, Reason: "leaving", Brought: true,
		From: id(1), Sent: id(2), Returned: id(3), Acked: id(2), AckedAt: 77}
	e.End(s, want)
	for _, c := range []channel.ID{alice, bob} {
		if got, many := e.Ended([]Mark{MarkOf(c)}, proto.ID{}, 10); many || len(got) != 1 || testkit.Diff(want, got[0]) != "" {
			t.Errorf("%+v", got)
		}
	}
	if got, _ := e.Ended([]Mark{MarkOf(testkit.Channel(3))}, proto.ID{}, 10); got != nil {
		t.Errorf("%+v", got)
	}
}

// TestPolls: polls of a client that goes on from where it was are one session; others are not.
func TestPolls(t *testing.T) {
	e := NewEdge(1<<20, nil)
	channels := []channel.ID{alice, bob}
	poll := func(from, sent uint64) Session {
		cursor := id(from)
		s := e.Begin("a", channels, true, &cursor)
		e.End(s, Past{Kind: "longpoll", Ended: s.Began + 10, Reason: "poll_answered", From: cursor, Sent: id(sent), Returned: id(sent)})
		return s
	}
	first := poll(10, 12)
	for _, c := range []struct {
		what       string
		from, sent uint64
		same       bool
	}{
		{"goes on", 12, 15, true},
		{"has not got the last answer", 12, 12, true},
		{"goes on after that", 12, 16, true},
		{"goes on from an id that it has by another way", 20, 21, false},
	} {
		if same := poll(c.from, c.sent).Number == first.Number; same != c.same {
			t.Errorf("%s: the same session %t", c.what, same)
		}
	}
	got, _ := e.Ended([]Mark{MarkOf(bob)}, proto.ID{}, 10)
	slices.SortFunc(got, func(a, b Past) int { return int(a.Number) - int(b.Number) })
	if len(got) != 2 || got[0].Polls != 4 || got[0].From != id(10) || got[0].Sent != id(16) || got[1].Polls != 1 || got[1].From != id(20) {
		t.Errorf("%+v", got)
	}
	cursor := id(21)
	held, other := e.Begin("a", channels, true, &cursor), e.Begin("a", channels, true, &cursor)
	if held.Number == other.Number {
		t.Error("two polls at the same time are one session")
	}
	if past, ok := e.Before(held); !ok || past.From != id(20) {
		t.Errorf("%t %+v", ok, past)
	}
	// The other one is held.
	if got, _ := e.Ended([]Mark{MarkOf(bob)}, proto.ID{}, 10); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestEvents: an event is found if it is of one of the sessions, and covers the message.
func TestEvents(t *testing.T) {
	e := NewEdge(1<<20, nil)
	for _, v := range []Event{
		{Kind: Read, Session: 1, At: 10, After: id(5), Through: id(9), First: id(7), Lost: id(6)},
		{Kind: Late, Session: 1, At: 11, After: id(7), Through: id(9)},
		{Kind: Dropped, Session: 2, At: 12, After: id(5), Through: id(5)},
	} {
		e.Note(v)
	}
	for _, c := range []struct {
		id       uint64
		sessions []uint64
		want     []int64
	}{{5, []uint64{1, 2}, []int64{12}}, {6, []uint64{1, 2}, []int64{10}}, {7, []uint64{1}, []int64{10, 11}}, {10, []uint64{1, 2}, nil}, {7, []uint64{2}, nil}} {
		var got []int64
		for _, v := range e.Events(c.sessions, id(c.id)) {
			got = append(got, v.At)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d of %v: %v, want %v", c.id, c.sessions, got, c.want)
		}
	}
}

// TestTraces: a trace gets what concerns its channels, a bounded number of steps, and ends when
// nobody takes from it any more. Only so many are followed.
func TestTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := NewEdge(1<<20, nil)
		traces := e.Posts().Traces()
		until := time.Now().Add(time.Hour)
		take := func() ([]Step, int) {
			steps, dropped, err := traces.Take("x", "a", []Mark{MarkOf(alice)}, until)
			if err != nil {
				t.Fatal(err)
			}
			return steps, dropped
		}
		post := func(portal string, c channel.ID) {
			e.Posts().Note(portal, []*proto.Message{message(0, c)}, []proto.Receipt{{ID: id(1)}}, nil)
		}
		post("a", alice)
		if e.Followed() {
			t.Error("traced before it was asked for")
		}
		take()
		post("a", alice)
		post("a", bob)
		post("b", alice)
		e.Heard("a").Note(message(1, bob, alice))
		e.Step(Step{What: StepWritten, Portal: "a"}, []channel.ID{alice})
		e.Refuse(Refusal{Portal: "a", Marks: []Mark{MarkOf(alice)}})
		var what []string
		steps, _ := take()
		for _, s := range steps {
			what = append(what, s.What)
		}
		if want := []string{StepPosted, StepHeard, StepWritten, StepRefused}; !slices.Equal(what, want) {
			t.Errorf("%v, want %v", what, want)
		}
		for range mostSteps + 5 {
			post("a", alice)
		}
		if steps, dropped := take(); len(steps) != mostSteps || dropped != 5 {
			t.Errorf("%d steps, %d more", len(steps), dropped)
		}
		for i := range MaxTraces {
			_, _, err := traces.Take(fmt.Sprint(i), "", nil, until)
			if want := i == MaxTraces-1; (err == ErrTraces) != want {
				t.Errorf("trace %d: %v", i+2, err)
			}
		}
		time.Sleep(2*tracePatience + time.Second)
		if e.Followed() {
			t.Error("still traced, although nobody takes")
		}
		until = time.Now().Add(time.Second)
		take()
		for range 3 {
			time.Sleep(time.Second)
			take()
		}
		if traces.Active() {
			t.Error("followed beyond its time")
		}
	})
}

// TestMarkIsText: a mark survives JSON, whose numbers do not hold it.
func TestMarkIsText(t *testing.T) {
	for _, m := range []Mark{0, 1, 1<<56 - 1, MarkOf(alice)} {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back Mark
		if err := json.Unmarshal(text, &back); err != nil || back != m || text[0] != '"' {
			t.Errorf("%d: %s, %d, %v", m, text, back, err)
		}
	}
}

// TestSessionOfAnOldMessageWasLeftOut: of hundreds of sessions that have ended, only the newest
// were returned, and not the one that had written the message.
func TestSessionOfAnOldMessageWasLeftOut(t *testing.T) {
	e := NewEdge(1<<20, nil)
	for i := range uint64(500) {
		s := e.Begin("a", []channel.ID{alice}, false, nil)
		e.End(s, Past{Number: s.Number, Portal: "a", Channels: MarksOf([]channel.ID{alice}), Ended: s.Began, From: id(i * 10), Sent: id(i*10 + 10), Returned: id(i*10 + 10)})
	}
	got, many := e.Ended([]Mark{MarkOf(alice)}, id(55), 100)
	if len(got) != 101 || !many || got[0].Number != 6 {
		t.Errorf("%d sessions, the first is %+v, more %t", len(got), got[0], many)
	}
}
