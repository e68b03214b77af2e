package explain

import (
	"slices"
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/trail"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func at(sequence uint64) proto.ID { return proto.ID{Epoch: 1_700_000_000, Sequence: sequence} }

const second = 1_000_000

// TestJudge: message 10 was created at second 100 and heard of at once, and lives for an hour. Each
// case is a session, and what an edge remembers of it.
func TestJudge(t *testing.T) {
	f := facts{id: at(10), created: 100 * second, expires: 3700 * second}
	gone := f
	gone.expires = 110 * second
	trimmed := f
	trimmed.trimmed = true
	transient := facts{id: at(10), created: 100 * second, transient: true}
	heard := &trail.Span{From: 100 * second, To: 100*second + 20_000}
	live := witness{heard: heard, now: 200 * second}
	// Of a run of messages.
	slow := witness{heard: &trail.Span{From: heard.From - 20_000, To: heard.To}, now: 200 * second}
	deaf := witness{now: 200 * second} // it was not notified
	forgetful := witness{reach: trail.Reach{Heard: 150 * second, Writes: 150 * second}, now: 200 * second}
	session := func(began, ended int64, from, sent uint64) trail.Past {
		return trail.Past{Began: began * second, Ended: ended * second, From: at(from), Sent: at(sent), Returned: at(sent)}
	}
	with := func(p trail.Past, change func(*trail.Past)) trail.Past {
		change(&p)
		return p
	}
	brought := func(p *trail.Past) { p.Brought = true }
	read := func(second_ int64, first, lost uint64) trail.Event {
		e := trail.Event{Kind: trail.Read, At: second_ * second, After: at(5), Through: at(12), First: at(first)}
		if lost > 0 {
			e.Lost = at(lost)
		}
		return e
	}
	nothing := read(120, 0, 0)
	nothing.First = proto.ID{}
	late := trail.Event{Kind: trail.Late, At: 103 * second, After: at(9), Through: at(11)}
	dropped := trail.Event{Kind: trail.Dropped, At: 103 * second, After: at(8), Through: at(10)}
	prompt := []trail.Span{{From: heard.From, To: heard.To + trail.Prompt}}
	for _, c := range []struct {
		what    string
		facts   facts
		session trail.Past
		events  []trail.Event
		witness witness
		why     Why
		written []trail.Span
		missing Missing
	}{
		{"live", f, session(50, 0, 3, 20), nil, live, Written, prompt, ""},
		{"live, and ended since", f, session(50, 150, 3, 20), nil, live, Written, prompt, ""},
		{"late", f, session(50, 0, 3, 20), []trail.Event{late}, live, Written, []trail.Span{{From: late.At, To: late.At}}, ""},
		{"from the log", f, session(110, 0, 5, 20), []trail.Event{read(110, 6, 0)}, live, Written, []trail.Span{{From: 110 * second, To: 110*second + trail.Prompt}}, ""},
		{"from the log, and late", f, session(110, 0, 5, 20), []trail.Event{read(110, 6, 0), late}, live, Written,
			[]trail.Span{{From: 110 * second, To: 110*second + trail.Prompt}, {From: late.At, To: late.At}}, ""},
		{"some time, because the edge has forgotten", f, session(50, 0, 3, 20), nil, forgetful, Written, []trail.Span{{From: 100 * second, To: 200 * second}}, MissWrites},
		{"some time, and trimmed at some time", trimmed, session(50, 0, 3, 20), nil, forgetful, Unknown, nil, MissPassed},
		{"connected since", f, session(150, 0, 15, 20), nil, live, Since, nil, ""},
		{"came with a later id", f, with(session(150, 0, 15, 20), brought), nil, live, Position, nil, ""},
		{"ended before", f, session(50, 60, 3, 8), nil, live, NotConnected, nil, ""},
		{"evicted before", f, with(session(50, 60, 3, 8), func(p *trail.Past) { p.Reason = "too_many_connections" }), nil, live, Evicted, nil, ""},
		{"ended behind", f, session(50, 130, 3, 8), nil, live, Behind, nil, ""},
		{"is behind", f, session(50, 0, 3, 8), nil, live, Behind, nil, ""},
		{"is behind, as the edge is", f, session(50, 0, 3, 8), nil, deaf, Behind, nil, ""},
		{"is being written", f, with(session(50, 0, 3, 8), func(p *trail.Past) { p.Returned = at(12) }), nil, live, Behind, nil, ""},
		{"ended while it was written", f, with(session(50, 130, 3, 8), func(p *trail.Past) { p.Returned = at(12) }), nil, live, Unknown, nil, MissCut},
		{"ended in a batch, after it", f, with(session(50, 130, 3, 8), func(p *trail.Past) { p.Returned = at(12) }), []trail.Event{late}, live, Written,
			[]trail.Span{{From: late.At, To: late.At}}, ""},
		{"expired before it was read", gone, session(120, 0, 5, 20), []trail.Event{read(120, 12, 0)}, live, Expired, nil, ""},
		{"expired, and no page had anything", gone, session(120, 0, 5, 20), nil, live, Expired, nil, ""},
		{"expired just before it was read", gone, session(120, 0, 5, 20), []trail.Event{read(110, 12, 0)}, live, Expired, nil, ""},
		{"expired or trimmed just before it was read", gone, session(120, 0, 5, 20), []trail.Event{read(110, 12, 11)}, live, Unknown, nil, MissPassed},
		{"trimmed before it was read", trimmed, session(120, 0, 5, 20), []trail.Event{read(120, 11, 10)}, live, Trimmed, nil, ""},
		// A note of a gap has the id of the newest message that is lost, and begins the batch.
		{"trimmed before it was read, and the rest was late", trimmed, session(120, 0, 5, 20), []trail.Event{read(120, 11, 10), late}, live, Trimmed, nil, ""},
		{"trimmed from the inbox, and from the log", trimmed, session(50, 0, 3, 20), []trail.Event{dropped, read(120, 11, 10)}, live, Trimmed, nil, ""},
		{"trimmed, or notified just after the session began", trimmed, session(100, 0, 5, 20), []trail.Event{read(100, 11, 10), late}, slow, Unknown, nil, MissPassed},
		{"a page that had lost some", trimmed, session(120, 0, 5, 20), []trail.Event{read(120, 7, 11)}, live, Unknown, nil, MissPassed},
		{"a page without it, and nothing says why", f, session(120, 0, 5, 20), []trail.Event{nothing}, live, Unknown, nil, MissPassed},
		{"not read, and nothing says why", f, session(120, 0, 5, 20), nil, live, Unknown, nil, MissPassed},
		{"not notified, and read when the subscription was back", f, session(50, 0, 3, 20), []trail.Event{read(104, 9, 0)}, deaf, Written,
			[]trail.Span{{From: 104 * second, To: 104*second + trail.Prompt}}, ""},
		{"transient, live", transient, session(50, 0, 3, 20), nil, live, Written, prompt, ""},
		{"transient, before the session", transient, session(150, 0, 15, 20), nil, live, Missed, nil, ""},
		{"transient, before a session with an older id", transient, with(session(150, 0, 3, 20), brought), nil, live, Missed, nil, ""},
		{"transient, not notified", transient, session(50, 0, 3, 20), nil, deaf, Missed, nil, ""},
		{"transient, in a dropped inbox", transient, session(50, 0, 3, 20), []trail.Event{dropped, read(104, 9, 0)}, live, Missed, nil, ""},
		{"transient, beside a page", transient, session(50, 0, 3, 20), []trail.Event{read(101, 9, 0)}, live, Written,
			[]trail.Span{{From: heard.From, To: 101*second + trail.Prompt}}, ""},
		{"transient, and the edge has forgotten", transient, session(50, 0, 3, 20), nil, forgetful, Unknown, nil, MissWrites},
	} {
		v := judge(c.facts, c.session, c.events, c.witness)
		if v.why != c.why || v.missing != c.missing || !slices.Equal(v.written, c.written) {
			t.Errorf("%s: %+v, want %s %v %q", c.what, v, c.why, c.written, c.missing)
		}
	}
}

// TestTexts: every value has a sentence in both languages.
func TestTexts(t *testing.T) {
	for _, why := range append(order, OtherPortal, KeyChanged, BadToken, Gone, NotFound) {
		if why.Text(English) == "" || why.Text(Russian) == "" || why.Text(English) == why.Text(Russian) {
			t.Errorf("%s has no sentence", why)
		}
	}
	for what, texts := range missingTexts {
		if texts[0] == "" || texts[1] == "" || texts[0] == texts[1] {
			t.Errorf("%s has no sentence", what)
		}
	}
}

// TestParseQuery: what people have at hand is understood, and nothing of it that opens a connection
// is repeated.
func TestParseQuery(t *testing.T) {
	const id, other, signature = "0f9e8d7c6b5a49382716051423324150", "f0e5d42369441879d7e176c96cbbff2d", "0123456789012345678901234567890123456789"
	for _, c := range []struct {
		text, kind, shown string
		channels          int
	}{
		{"17000000000000000000000042", "message", "17000000000000000000000042", 0},
		{" user:17 ", "user", "user:17", 1},
		{"17", "user", "user:17", 1},
		{id, "channel", id, 2},
		{"public:" + id, "channel", "public:" + id, 1},
		{id + "." + signature, "list", "0f9e8d…", 0},
		{id + ":" + other + "." + signature + "/" + other + "." + signature, "list", "0f9e8d…:f0e5d4…/f0e5d4…", 0},
		{"level=info msg=x uri=/bitrix/subws/?CHANNEL_ID=" + id + "%3A" + other + "." + signature + "&mid=1", "list", "0f9e8d…:f0e5d4…", 0},
		{"0f9e8d….012345…/" + id + "." + signature, "list", "0f9e8d…/0f9e8d….012345…", 0},
		{"eyJh.eyJi.c2ln", "token", "token", 0},
		{"/bitrix/subws/?token=eyJh.eyJi.c2ln&x=1", "token", "token", 0},
	} {
		q, err := ParseQuery(c.text)
		if err != nil || string(q.Kind) != c.kind || q.String() != c.shown || len(q.Channels) != c.channels {
			t.Errorf("%q: %+v %q %v", c.text, q, q.String(), err)
		}
	}
	for _, bad := range []string{"", "0", "-1", "ivan", id + "0", id + "/", "../" + id, "<script>"} {
		if q, err := ParseQuery(bad); err != ErrQuery {
			t.Errorf("%q: %+v, %v", bad, q, err)
		}
	}
}
