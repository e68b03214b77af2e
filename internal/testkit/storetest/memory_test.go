package storetest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, cfg store.Config) storetest.Subject {
		m := storetest.NewMemory(cfg)
		var ahead time.Duration
		return storetest.Subject{Log: m, Stats: m, Flush: m.Flush, Cut: m.Cut,
			Now:     func() time.Time { return time.Now().Add(ahead) },
			Advance: func(d time.Duration) { ahead += d; m.Advance(d) }}
	})
}

var channels = []channel.ID{testkit.Channel(1)}

func post(t *testing.T, m *storetest.Memory, ttl time.Duration, body string) proto.ID {
	t.Helper()
	receipts, err := m.Append(t.Context(), &proto.Message{Receivers: channels, Body: []byte(body), TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].ID
}

// bubble runs f in a bubble with a log and a follower of it.
func bubble(t *testing.T, f func(t *testing.T, m *storetest.Memory, r *storetest.Recorder)) {
	synctest.Test(t, func(t *testing.T) {
		m, r := storetest.NewMemory(store.Config{}), storetest.NewRecorder(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			if err := m.Follow(ctx, r); !errors.Is(err, context.Canceled) {
				t.Errorf("follow: %v", err)
			}
		})
		synctest.Wait()
		f(t, m, r)
	})
}

func want(t *testing.T, r *storetest.Recorder, resyncs, downs int, texts ...string) {
	t.Helper()
	synctest.Wait()
	gotResyncs, gotDowns, _, _ := r.State()
	if gotResyncs != resyncs || gotDowns != downs || !slices.Equal(r.Texts(), texts) {
		t.Errorf("%d resyncs, %d downs, %q; want %d, %d, %q", gotResyncs, gotDowns, r.Texts(), resyncs, downs, texts)
	}
}

func TestMemoryLivesByTheBubblesClock(t *testing.T) {
	bubble(t, func(t *testing.T, m *storetest.Memory, _ *storetest.Recorder) {
		post(t, m, time.Hour, "a")
		for i, wait := range []time.Duration{time.Hour - 1, 1} {
			time.Sleep(wait)
			p, err := m.History(t.Context(), channels, proto.ID{})
			if err != nil || len(p.Messages) != 1-i {
				t.Errorf("after %v more: %d messages, %v", wait, len(p.Messages), err)
			}
		}
	})
}

func TestMemoryLag(t *testing.T) {
	bubble(t, func(t *testing.T, m *storetest.Memory, r *storetest.Recorder) {
		m.SetLag(time.Second)
		post(t, m, time.Hour, "a")
		m.SetLag(0)
		post(t, m, time.Hour, "b")
		time.Sleep(time.Second - 1)
		want(t, r, 1, 0)
		time.Sleep(time.Nanosecond)
		want(t, r, 1, 0, "a", "b")
	})
}

func TestMemoryDown(t *testing.T) {
	bubble(t, func(t *testing.T, m *storetest.Memory, r *storetest.Recorder) {
		m.SetLag(time.Second)
		post(t, m, time.Hour, "lost on its way")
		m.SetLag(0)
		m.SetDown(true)
		m.SetDown(true)
		want(t, r, 1, 1)
		missed := post(t, m, time.Hour, "missed")
		m.SetDown(false)
		want(t, r, 2, 1)
		if _, _, _, newest := r.State(); newest != missed {
			t.Errorf("resync at %v, want %v", newest, missed)
		}
		m.Cut()
		m.Cut() // before the follower is notified of the first
		post(t, m, time.Hour, "a")
		synctest.Wait()
		if _, downs, up, _ := r.State(); downs != 2 || !up {
			t.Errorf("%d downs, up %v", downs, up)
		}
		want(t, r, 3, 2, "a")
	})
}

func TestMemoryFails(t *testing.T) {
	bubble(t, func(t *testing.T, m *storetest.Memory, r *storetest.Recorder) {
		broken := errors.New("broken")
		m.Fail(broken)
		calls := map[string]func() error{
			"append":    func() error { _, err := m.Append(t.Context()); return err },
			"history":   func() error { _, err := m.History(t.Context(), channels, proto.ID{}); return err },
			"head":      func() error { _, err := m.Head(t.Context(), proto.ID{}); return err },
			"online":    func() error { _, err := m.Online(t.Context(), channels); return err },
			"processes": func() error { _, err := m.Processes(t.Context()); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, broken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		m.Fail(nil)
		for name, call := range calls {
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		want(t, r, 1, 0)
	})
}

func TestMemoryHistoryHooks(t *testing.T) {
	bubble(t, func(t *testing.T, m *storetest.Memory, _ *storetest.Recorder) {
		m.OnHistory(func() { post(t, m, time.Hour, "before") }, func() { post(t, m, time.Hour, "after") })
		p, err := m.History(t.Context(), channels, proto.ID{})
		if err != nil || len(p.Messages) != 1 || string(p.Messages[0].Body) != "before" {
			t.Errorf("%d messages, %v", len(p.Messages), err)
		}
		m.OnHistory(nil, nil)
		if p, err = m.History(t.Context(), channels, p.Through); err != nil || len(p.Messages) != 1 {
			t.Errorf("%d messages, %v", len(p.Messages), err)
		}
	})
}
