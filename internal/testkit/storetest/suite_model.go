package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
)

const (
	modelSeeds = 6
	modelSteps = 150
)

// runModel takes random steps with the log under test and with the log in memory. They must differ
// in their epochs only.
func runModel(t *testing.T, factory Factory) {
	for seed := range uint64(modelSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			cfg := store.Config{ChannelCap: 5 + rnd.IntN(40), PageMessages: 1 + rnd.IntN(20), PageBytes: 200 + rnd.IntN(2000)}
			if seed%2 == 0 {
				cfg.WriteWindow = 3 * time.Hour
			}
			memory := NewMemory(cfg)
			m := &model{rnd: rnd, real: bench{t, factory(t, inTime(cfg))}}
			m.memory = bench{t, Subject{Log: memory, Stats: memory, Advance: memory.Advance, Flush: memory.Flush, Cut: memory.Cut}}
			for i := 0; i < modelSteps && !t.Failed(); i++ {
				m.step()
			}
		})
	}
}

// model is two logs that have taken the same steps.
type model struct {
	rnd          *rand.Rand
	real, memory bench
	given        []pair // ids of all messages, in their order
}

// pair is the id of one message in both logs.
type pair struct{ real, memory proto.ID }

func (m *model) step() {
	switch n := m.rnd.IntN(100); {
	case n < 50:
		m.append()
	case n < 85:
		m.history()
	case n < 90:
		m.presence()
	case n < 98:
		// Half a second away from the end of any life, which is whole minutes: the clocks of both
		// logs differ by milliseconds.
		d := time.Duration(m.rnd.IntN(90))*time.Minute + 500*time.Millisecond
		m.real.Advance(d)
		m.memory.Advance(d)
	case n < 99:
		m.real.Flush()
		m.memory.Flush()
	default:
		m.head()
	}
}

func (m *model) channels() []channel.ID {
	var channels []channel.ID
	for _, n := range m.rnd.Perm(6)[:1+m.rnd.IntN(3)] {
		channels = append(channels, ch(byte(n)))
	}
	return channels
}

func (m *model) append() {
	batch := make([]*proto.Message, 1+m.rnd.IntN(4))
	for i := range batch {
		ttl := []time.Duration{0, time.Minute, 10 * time.Minute, 2 * time.Hour, 24 * time.Hour}[m.rnd.IntN(5)]
		text := fmt.Sprintf("%d-%d-%0*d", len(m.given), i, m.rnd.IntN(200), 0)
		batch[i] = msg(ttl, text, m.channels()...)
	}
	got, want := m.real.append(batch...), m.memory.append(batch...)
	for i := range got {
		if !slices.Equal(got[i].Closed, want[i].Closed) || got[i].ID.IsZero() != want[i].ID.IsZero() || got[i].ID.Sequence != want[i].ID.Sequence {
			m.real.Errorf("append: %+v, want %+v", got[i], want[i])
		}
		if !got[i].ID.IsZero() {
			m.given = append(m.given, pair{got[i].ID, want[i].ID})
		}
	}
}

// cursor returns an id that was assigned, the zero ID, or an id a little ahead of all.
func (m *model) cursor() pair {
	n := len(m.given)
	switch k := m.rnd.IntN(20); {
	case n == 0 || k == 0:
		return pair{}
	case k == 1:
		p := m.given[n-1]
		p.real.Sequence += 1000
		p.memory.Sequence += 1000
		return p
	case k < 10:
		return m.given[max(0, n-1-m.rnd.IntN(10))]
	default:
		return m.given[m.rnd.IntN(n)]
	}
}

func (m *model) history() {
	channels, after := m.channels(), m.cursor()
	for {
		got, want := m.real.page(after.real, channels...), m.memory.page(after.memory, channels...)
		if !slices.Equal(bodies(got), bodies(want)) || got.Gap() != want.Gap() || got.Lost.Sequence != want.Lost.Sequence || got.More != want.More ||
			got.Head.Sequence != want.Head.Sequence || got.Through.Sequence != want.Through.Sequence {
			m.real.Errorf("history after %v / %v:\n got %q lost %v more %v head %v through %v\nwant %q lost %v more %v head %v through %v",
				after.real, after.memory, bodies(got), got.Lost, got.More, got.Head, got.Through,
				bodies(want), want.Lost, want.More, want.Head, want.Through)
			return
		}
		for i := range got.Messages {
			if !slices.Contains(m.given, pair{got.Messages[i].ID, want.Messages[i].ID}) {
				m.real.Errorf("%v and %v are not ids of one message", got.Messages[i].ID, want.Messages[i].ID)
			}
		}
		if !got.More {
			return
		}
		after = pair{got.Through, want.Through}
	}
}

func (m *model) presence() {
	edge, replace := fmt.Sprint(m.rnd.IntN(3)), m.rnd.IntN(3) == 0
	var changes []proto.Presence
	for _, id := range m.channels() {
		changes = append(changes, proto.Presence{Channel: id, Sessions: m.rnd.IntN(3)})
	}
	if user := m.rnd.Int64N(6); user > 0 {
		changes = append(changes, here(user, m.rnd.IntN(2)))
	}
	want, wantKept, err := m.memory.Log.SetPresence(m.memory.Context(), edge, changes, replace)
	if err != nil {
		m.memory.Fatal(err)
	}
	got, kept, err := m.real.Log.SetPresence(m.real.Context(), edge, changes, replace)
	byUser := func(a, b proto.Status) int { return cmp.Compare(a.User, b.User) }
	slices.SortFunc(got, byUser)
	slices.SortFunc(want, byUser)
	if err != nil || kept != wantKept || !slices.Equal(got, want) {
		m.real.Errorf("presence of %s: moved %v, kept %v, %v; want %v, %v", edge, got, kept, err, want, wantKept)
	}
	channels := m.channels()
	online, err := m.memory.Log.Online(m.memory.Context(), channels)
	if err != nil {
		m.memory.Fatal(err)
	}
	m.real.online(online, channels...)
}

func (m *model) head() {
	known := pair{}
	if len(m.given) > 0 {
		known = m.given[len(m.given)-1]
	}
	got, want := m.real.head(known.real), m.memory.head(known.memory)
	if got.Sequence != want.Sequence || (got.Epoch > known.real.Epoch) != (want.Epoch > known.memory.Epoch) {
		m.real.Errorf("head for %v: %v; for %v: %v", known.real, got, known.memory, want)
	}
}
