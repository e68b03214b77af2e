package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pushgate/internal/config"
	"pushgate/internal/explain"
	"pushgate/internal/portal"
	"pushgate/internal/server"
	"pushgate/internal/store"
	"pushgate/internal/trail"
)

// TestExplain: after traffic with faults (connections to Redis are cut and stall, an edge is
// killed, clients come and go, sleep and hang), random messages are explained. Each answer is
// compared with what the clients have received. What an answer does not know it must say, and with
// a reason.
//
// E2E_EXPLAIN is how many messages are explained, with as much traffic as that takes.
func TestExplain(t *testing.T) {
	t.Parallel()
	sample, rate, rounds := 300, 150, 1
	if text := os.Getenv("E2E_EXPLAIN"); text != "" {
		var err error
		if sample, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		rounds = max(1, sample/500)
	}
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, FaultyLinks: true, EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=500ms"}})
	c := newCrowd(t, w, 24, 6)
	habits := Habits{Polls: 0.5, Life: 3 * time.Second, Pause: 600 * time.Millisecond}
	var late []Subscriber // who come after the first second, and from nowhere
	c.subscribers = slices.DeleteFunc(c.subscribers, func(s Subscriber) bool {
		if len(late) == 3 {
			return false
		}
		s.From = ""
		late = append(late, s)
		return true
	})
	c.live(habits)
	defer c.stop()
	ctx, cancel := context.WithCancel(t.Context())
	var coming sync.WaitGroup
	defer coming.Wait()
	defer cancel()
	traffic := c.traffic(t.Context(), rate)
	defer traffic.stop()
	var killed []time.Time
	for i, s := range late {
		coming.Go(func() {
			time.Sleep(time.Second)
			s.Live(ctx, rand.New(rand.NewPCG(uint64(i), 3)), habits)
		})
	}
	c.subscribers = append(c.subscribers, late...)
	for round := range rounds {
		if at := w.trouble(t, round); !at.IsZero() {
			killed = append(killed, at)
		}
	}
	traffic.stop()
	if err := c.closing(t.Context()); err != nil {
		t.Error(err)
	}
	c.stop()
	cancel()
	coming.Wait()
	c.verdict(t, c.ledger.Check(c.subscribers))

	x := w.explainer(t)
	truth := c.truth()
	ids := make([]string, 0, len(truth))
	for id := range truth {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids = ids[:min(len(ids), sample)]
	began := time.Now()
	var mu sync.Mutex
	var sum tally
	var asking sync.WaitGroup
	work := make(chan string)
	for range 4 {
		asking.Go(func() {
			for id := range work {
				r, err := x.Explain(t.Context(), id, portal.Default, "test")
				mu.Lock()
				if err != nil {
					t.Errorf("%s: %v", id, err)
				} else {
					sum.compare(t, r, truth[id], c.subscribers, killed)
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	asking.Wait()
	t.Logf("%d of %d messages explained in %v: %s", len(ids), len(truth), time.Since(began).Round(time.Millisecond), sum)
	if sum.written == 0 || sum.exact == 0 || sum.late == 0 || sum.not == 0 || sum.unknown == 0 {
		t.Errorf("a case that does not occur proves nothing: %s", sum)
	}
}

// trouble causes one fault after another, and returns when an edge was killed; zero if none was.
func (w *World) trouble(t *testing.T, round int) (killed time.Time) {
	t.Helper()
	pause := func(d time.Duration) {
		select {
		case <-t.Context().Done():
		case <-time.After(d):
		}
	}
	pause(time.Second)
	w.Links[1].Cut()
	pause(700 * time.Millisecond)
	w.Links[2].Stall()
	pause(900 * time.Millisecond)
	w.Links[2].Resume()
	pause(300 * time.Millisecond)
	if round == 0 { // what an edge has forgotten nobody can be right about
		w.Edges[0].Kill()
		killed = time.Now()
		if err := w.Edges[0].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pause(1200 * time.Millisecond)
	return killed
}

// explainer returns an explainer over the Redis of the world.
func (w *World) explainer(t *testing.T) *explain.Explainer {
	t.Helper()
	cfg, err := config.LoadEdge([]string{"PUSHGATE_KEYS=" + Key})
	if err != nil {
		t.Fatal(err)
	}
	table, err := cfg.Portals()
	if err != nil {
		t.Fatal(err)
	}
	rdb, err := store.Open("unix://" + w.Redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return server.NewExplainer(store.New(rdb, store.Config{}), table, slog.New(slog.DiscardHandler))
}

// fate is what clients know of one message.
type fate struct {
	letter   Letter
	posted   time.Time
	arrivals map[string]Arrival // by the names of clients
}

// truth returns what the clients know, by the ids of messages.
func (c *crowd) truth() map[string]fate {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	all := make(map[string]fate)
	for _, s := range c.subscribers {
		for _, a := range s.Arrivals() {
			p := c.ledger.posts[a.Body]
			if p == nil {
				continue
			}
			f, ok := all[a.MID]
			if !ok {
				f = fate{p.Letter, p.at, make(map[string]Arrival)}
				all[a.MID] = f
			}
			f.arrivals[s.Name] = a
		}
	}
	return all
}

// tally counts the answers about one message and one client.
type tally struct {
	written, exact, late int // it arrived, and the answer says so; to 200 ms; after a while
	not                  int // it did not arrive, and the answer says why
	unknown              int // the answer says that it is not known, and why
	whys                 map[explain.Why]int
}

func (s tally) String() string {
	return fmt.Sprintf("written %d (%d to 200 ms, %d late or from the log), not written %d %v, unknown %d", s.written, s.exact, s.late, s.not, s.whys, s.unknown)
}

// slack is how much the clocks of the test and of the programs may disagree, and how long an
// arrival may wait in a busy client.
const slack, patience = 20 * time.Millisecond, 15 * time.Second

// compare compares an answer with the truth.
func (s *tally) compare(t *testing.T, r *explain.Report, f fate, subscribers []Subscriber, killed []time.Time) {
	t.Helper()
	m := r.Message
	stored := 0
	for _, a := range m.Accepted {
		if a.Outcome == trail.Stored {
			stored++
		}
	}
	if stored != 1 || m.State != explain.StateStored || m.Created < f.posted.Add(-slack).UnixMilli() || m.Receivers != len(f.letter.Channels) {
		t.Errorf("%s: accepted %+v, state %s, created %d, %d receivers of %d", m.ID, m.Accepted, m.State, m.Created, m.Receivers, len(f.letter.Channels))
	}
	for _, sub := range subscribers {
		if !sub.watches(f.letter) {
			continue
		}
		own := trail.MarkOf(sub.Channels[0])
		var sessions []explain.Session
		for _, session := range r.Sessions {
			if slices.Contains(session.Marks, own) {
				sessions = append(sessions, session)
			}
		}
		arrival, arrived := f.arrivals[sub.Name]
		s.client(t, r, sub, sessions, arrival, arrived, killed)
	}
}

// client compares the answer about one client.
func (s *tally) client(t *testing.T, r *explain.Report, sub Subscriber, sessions []explain.Session, arrival Arrival, arrived bool, killed []time.Time) {
	t.Helper()
	if s.whys == nil {
		s.whys = make(map[explain.Why]int)
	}
	blank := r.Unknown != nil && slices.ContainsFunc(killed, func(k time.Time) bool {
		return m(r.Message.Created).Before(k.Add(slack)) && (!arrived || arrival.At.Before(k.Add(time.Second)))
	})
	told := false
	for _, session := range sessions {
		if session.Why != explain.Written {
			continue
		}
		for _, span := range session.Written {
			from, to := time.UnixMicro(span.From), time.UnixMicro(span.To)
			fits := arrived && session.Transport == arrival.Transport && !from.After(arrival.At.Add(slack)) && to.Add(patience).After(arrival.At)
			if !fits && session.Ended == 0 {
				t.Errorf("%s: %s: written to %s #%d at %v, which is open; arrived %v %v", r.Message.ID, sub.Name, session.Process, session.Number, from, arrived, arrival.At)
			}
			if fits && !told {
				told = true
				s.written++
				if to.Sub(from) <= 200*time.Millisecond {
					s.exact++
				}
				if from.After(m(r.Message.Created).Add(300 * time.Millisecond)) {
					s.late++
				}
			}
		}
	}
	switch {
	case arrived && told:
	case arrived && blank:
		s.unknown++
	case arrived:
		t.Errorf("%s: %s got it by %s at %v; the answer is %+v, unknown %+v", r.Message.ID, sub.Name, arrival.Transport, arrival.At, sessions, r.Unknown)
	default:
		s.not++
		for _, session := range sessions {
			s.whys[session.Why]++
			if session.Why == explain.Unknown && !blank {
				t.Errorf("%s: %s did not get it, and %+v does not say why", r.Message.ID, sub.Name, session)
			}
		}
	}
}

func m(milli int64) time.Time { return time.UnixMilli(milli) }
