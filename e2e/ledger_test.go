package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// mid returns an id of the tests.
func mid(n int) string { return fmt.Sprintf("1795226210%016d", n) }

// TestLedger checks the counts, with readers of two portals that have the same channel.
func TestLedger(t *testing.T) {
	id, other := NewChannel(), NewChannel()
	anna, bert, carl, dora := "anna", "bert", "carl", "dora" // the last is of another portal
	for _, c := range []struct {
		name string
		had  map[string][]Record
		from string // where all of them start
		want string
	}{
		{"all is well", map[string][]Record{anna: {{mid(1), id.String(), "1"}, {mid(2), "", "2"}}, bert: {{mid(1), "", "1"}, {mid(2), "", "2"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 0, foreign 0"},
		{"nobody has one", map[string][]Record{anna: {{mid(2), "", "2"}}, bert: {{mid(2), "", "2"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 2, doubled 0, out of order 0, crossed 0, foreign 0"},
		{"nobody has the one with an unknown outcome", map[string][]Record{anna: {{mid(1), "", "1"}}, bert: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 0, foreign 0"},
		{"one has the one with an unknown outcome", map[string][]Record{anna: {{mid(1), "", "1"}, {mid(2), "", "2"}}, bert: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 1, doubled 0, out of order 0, crossed 0, foreign 0"},
		{"one has it twice", map[string][]Record{anna: {{mid(1), "", "1"}, {mid(2), "", "1"}}, bert: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}}},
			// It came under two ids, so that it is out of order as well.
			beginning, "lost 0, doubled 1, out of order 1, crossed 0, foreign 0"},
		{"ids go back", map[string][]Record{anna: {{mid(2), "", "2"}, {mid(1), "", "1"}}, bert: {{mid(1), "", "1"}, {mid(2), "", "2"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 1, crossed 0, foreign 0"},
		{"one has another order", map[string][]Record{anna: {{mid(1), "", "1"}, {mid(2), "", "2"}}, bert: {{mid(1), "", "2"}, {mid(2), "", "1"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 2, crossed 0, foreign 0"},
		{"one has another portal's", map[string][]Record{anna: {{mid(1), "", "1"}}, bert: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}, {mid(2), "", "1"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 1, foreign 0"},
		{"one has what is not for it", map[string][]Record{anna: {{mid(1), "", "1"}}, bert: {{mid(1), "", "1"}}, carl: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 0, foreign 1"},
		{"one has what nobody posted", map[string][]Record{anna: {{mid(1), "", "1"}}, bert: {{mid(1), "", "1"}}, carl: {{mid(1), "", "x"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 0, foreign 1"},
		{"one has it by a channel of others", map[string][]Record{anna: {{mid(1), other.String(), "1"}}, bert: {{mid(1), "", "1"}}, dora: {{mid(1), "", "d"}}},
			beginning, "lost 0, doubled 0, out of order 0, crossed 0, foreign 1"},
		{"who started from nowhere missed what came before", map[string][]Record{anna: {{mid(1), "", "1"}}, bert: {{mid(1), "", "1"}, {mid(2), "", "2"}}},
			// Anna missed what came after her first id; dora received nothing, and is due nothing.
			"", "lost 1, doubled 0, out of order 0, crossed 0, foreign 0"},
		{"and may", map[string][]Record{anna: {{mid(2), "", "2"}}, bert: {{mid(1), "", "1"}, {mid(2), "", "2"}}, dora: {{mid(1), "", "d"}}},
			"", "lost 0, doubled 0, out of order 0, crossed 0, foreign 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l Ledger
			sent := func() error { return nil }
			_ = l.Post(sent, Letter{Body: "1", Channels: []channel.ID{id}})
			_ = l.Post(func() error { return errors.New("no answer") }, Letter{Body: "2", Channels: []channel.ID{id}})
			_ = l.Post(sent, Letter{Portal: "second", Body: "d", Channels: []channel.ID{id}})
			var all []Subscriber
			for _, name := range []string{anna, bert, carl, dora} {
				s := Subscriber{Channels: []channel.ID{id}, Client: &Client{Name: name, From: c.from}}
				switch name {
				case carl:
					s.Channels = []channel.ID{other}
				case dora:
					s.Portal = "second"
				}
				for _, r := range c.had[name] {
					s.take([]Record{r}, webSocket)
				}
				all = append(all, s)
			}
			r := l.Check(all)
			if got := fmt.Sprintf("%v, foreign %d", r, r.Foreign); got != c.want {
				t.Errorf("%s, want %s: %q", got, c.want, r.Faults)
			}
			if r.OK() == strings.ContainsAny(c.want, "12") {
				t.Errorf("OK is %v", r.OK())
			}
		})
	}
}

// A subscriber that begins without an id between two letters need not get the first one. Await once
// waited for it in vain.
func TestLateBeginnerIsNotWaitedFor(t *testing.T) {
	id := NewChannel()
	letters := []Letter{{Body: "1", Channels: []channel.ID{id}}, {Body: "2", Channels: []channel.ID{id}}}
	subscriber := func(from string, had ...Record) Subscriber {
		s := Subscriber{Channels: []channel.ID{id}, Client: &Client{From: from}}
		s.take(had, webSocket)
		return s
	}
	first, second := Record{mid(1), "", "1"}, Record{mid(2), "", "2"}
	all := subscriber(beginning, first, second)
	for _, c := range []struct {
		name string
		s    Subscriber
		want int
	}{
		{"all", all, 0},
		{"late", subscriber("", second), 0},
		{"late, and a letter is missing", subscriber("", first), 1},
		{"from the beginning", subscriber(beginning, second), 1},
		{"knows of nothing", subscriber(""), 0},
	} {
		if got := (&crowd{subscribers: []Subscriber{c.s, all}}).missing(c.s, letters); got != c.want {
			t.Errorf("%s: %d are missing, want %d", c.name, got, c.want)
		}
	}
	if got := (&crowd{subscribers: []Subscriber{subscriber("", second)}}).missing(subscriber("", second), letters); got != 1 {
		t.Errorf("%d are missing of a letter that no reader has yet, want 1", got)
	}
}

// TestLossIsSeen: the fault run would notice a loss. Messages are accepted while all clients are
// away, and Redis restarts empty. The report must have each of these messages as lost, for each of
// its clients, and none that is published later.
func TestLossIsSeen(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 1, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=100ms"}})
	crowd := newCrowd(t, w, 2*len(kinds), 2)
	habits := Habits{Polls: 0.5, Life: 2 * time.Second, Pause: 100 * time.Millisecond}
	var accepted atomic.Int64
	crowd.live(habits)
	crowd.publish(t, 60, 200, &accepted)
	arrived(t, crowd)
	crowd.stop()

	crowd.publish(t, 120, 400, &accepted)
	away := crowd.ledger.Check(crowd.subscribers)
	if away.Lost == 0 {
		t.Fatal("everything arrived, and no client was there")
	}
	w.Redis.Kill()
	if err := w.Redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(w.Edges, w.Publishers...) {
		if err := p.Await(t.Context(), p.ready); err != nil {
			t.Fatal(err)
		}
	}
	crowd.publish(t, 180, 200, &accepted)
	crowd.live(habits)
	defer crowd.stop()
	var r Report
	testkit.Wait(func() bool {
		r = crowd.ledger.Check(crowd.subscribers)
		return r.Lost <= away.Lost
	})
	t.Logf("%v of %d deliveries", r, r.Lost+r.Arrivals)
	want := Report{Lost: away.Lost}
	if diff := testkit.Diff(want.String(), r.String()); diff != "" || r.OK() {
		t.Errorf("(-want +got) %s: %q", diff, r.Faults)
	}
}

// TestPortalCalls: everything that would make one of the known clients ask the portal is counted,
// and nothing else.
func TestPortalCalls(t *testing.T) {
	c := Client{}
	for i, body := range []string{
		// It counts.
		`{"module_id":"pull","command":"config_expire","params":{}}`,
		// It counts.
		`{"module_id":"Pull","command":"CHANNEL_EXPIRE","params":{"action":"get_config"}}`,
		// It brings the new channel, so that the client need not ask.
		`{"module_id":"pull","command":"channel_expire","params":{"action":"reconnect"}}`,
		// It is not for the client itself.
		`{"module_id":"im","command":"config_expire"}`, `{"module_id":"pull","command":"ping"}`,
		`x`,
	} {
		c.take([]Record{{MID: mid(i + 1), Body: body}}, webSocket)
	}
	for _, status := range []int{200, 304, 400, 503} { // the third counts
		c.status(status)
	}
	for code, want := range map[websocket.StatusCode]bool{1000: false, 1001: true, 1006: false, 1013: false, 3000: false, 3001: true, 3002: true,
		3003: true, 4010: true, 4029: false, -1: false} {
		if callsPortal(code) != want {
			t.Errorf("close %d: %v", code, !want)
		}
	}
	if _, counts := c.Faults(); counts.PortalCalls != 3 {
		t.Errorf("%d calls, want 3", counts.PortalCalls)
	}
}

// TestUntold: a loss counts as untold if its reader has no note of a gap.
func TestUntold(t *testing.T) {
	id := NewChannel()
	var l Ledger
	for _, body := range []string{"1", "2"} {
		_ = l.Post(func() error { return nil }, Letter{Body: body, Channels: []channel.ID{id}})
	}
	var all []Subscriber
	for _, records := range [][]Record{
		{{MID: mid(2), Body: "2"}}, // has no 1, and does not know
		{{MID: mid(1), Body: `{"module_id":"pushgate","command":"gap"}`}, {MID: mid(2), Body: "2"}},
		{{MID: mid(1), Body: "1"}, {MID: mid(2), Body: "2"}},
	} {
		s := Subscriber{Channels: []channel.ID{id}, Client: &Client{From: beginning}}
		s.take(records, webSocket)
		all = append(all, s)
	}
	if r := l.Check(all); r.Lost != 2 || r.Untold != 1 || r.Gaps != 1 {
		t.Errorf("%v, untold %d, gaps %d", r, r.Untold, r.Gaps)
	}
}
