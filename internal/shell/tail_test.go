package shell

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// put appends a message.
func put(t *testing.T, log *storetest.Memory, n string, ttl time.Duration, to ...channel.ID) proto.ID {
	t.Helper()
	receipts, err := log.Append(t.Context(), &proto.Message{Receivers: to, Body: message(n), Type: "im_message", TTL: ttl, Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].ID
}

// TestTailHistory: which part of the log is printed.
func TestTailHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, a, b, other := storetest.NewMemory(store.Config{PageMessages: 2}), testkit.Channel(1), channel.ForUser(7), testkit.Channel(3)
		var third proto.ID
		for n := range 9 {
			id := put(t, log, string(rune('1'+n)), time.Hour, []channel.ID{a, b, other}[n%3])
			if n == 2 {
				third = id
			}
			time.Sleep(time.Minute)
		}
		put(t, log, "x", time.Second, a)
		time.Sleep(2 * time.Second)
		for _, c := range []struct {
			what string
			tail Tail
			want string
		}{
			{"all", Tail{Last: -1}, "124578"},
			{"the newest", Tail{Last: 3}, "578"},
			{"none", Tail{Last: 0}, ""},
			{"after an id", Tail{Last: -1, After: third}, "4578"},
			{"the newest after an id", Tail{Last: 2, After: third}, "78"},
			{"of the last minutes", Tail{Last: -1, Since: time.Now().Add(-4 * time.Minute)}, "78"},
		} {
			r := &reader{}
			c.tail.Log, c.tail.Channels, c.tail.Once, c.tail.Body, c.tail.Print, c.tail.Note = log, []channel.ID{a, b}, true, true, r.print, r.note
			if err := c.tail.Run(t.Context()); err != nil || r.numbers() != c.want {
				t.Errorf("%s: %q, %v", c.what, r.numbers(), err)
			}
			if c.what == "all" {
				first, second := r.got()[0], r.got()[1]
				if first.Channel != a.LogValue().String() || second.Channel != "user:7" || *first.Life != time.Hour || *first.Left != 51*time.Minute-2*time.Second || first.Sender != portalSender {
					t.Errorf("%+v, %+v, %v", first, second, *first.Left)
				}
			}
		}
	})
}

// TestTailFollows: live messages come, transient ones too, and those of while the log was away;
// other channels' do not; bodies only if they are asked for.
func TestTailFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, a, other := storetest.NewMemory(store.Config{}), testkit.Channel(1), testkit.Channel(2)
		put(t, log, "1", time.Hour, a)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		readers := []*reader{{}, {}, {}}
		done := make(chan error, len(readers))
		for i, r := range readers {
			tail := Tail{Log: log, Channels: []channel.ID{a}, Last: 20 * (1 - i/2), Body: i != 1, Print: r.print, Note: r.note}
			go func() { done <- tail.Run(ctx) }()
		}
		synctest.Wait()
		put(t, log, "2", time.Hour, a)
		put(t, log, "-", time.Hour, other)
		put(t, log, "3", 0, a)
		synctest.Wait()
		log.SetDown(true)
		time.Sleep(10 * time.Second)
		log.SetDown(false)
		put(t, log, "4", time.Hour, a, other)
		time.Sleep(10 * time.Second)
		if got := readers[0].numbers(); got != "1234" {
			t.Errorf("printed %q", got)
		}
		if got := readers[1].got(); len(got) != 4 || got[3].Body != nil || got[3].Size == 0 {
			t.Errorf("without bodies: %+v", got)
		}
		if got := readers[2].numbers(); got != "234" {
			t.Errorf("without history, printed %q", got)
		}
		if notes := readers[0].notes.String(); strings.Count(notes, "following") != 2 || strings.Count(notes, "does not notify") != 1 {
			t.Errorf("notes: %s", notes)
		}
		cancel()
		for range readers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestTailNotesGaps: what a cap has removed after the id that the reader knows is not silent.
func TestTailNotesGaps(t *testing.T) {
	log, a := storetest.NewMemory(store.Config{ChannelCap: 2}), testkit.Channel(1)
	first := put(t, log, "1", time.Hour, a)
	for _, n := range []string{"2", "3", "4"} {
		put(t, log, n, time.Hour, a)
	}
	for _, c := range []struct {
		after proto.ID
		want  bool
	}{{first, true}, {proto.ID{}, false}} {
		r := &reader{}
		tail := Tail{Log: log, Channels: []channel.ID{a}, Last: -1, After: c.after, Once: true, Body: true, Print: r.print, Note: r.note}
		if err := tail.Run(t.Context()); err != nil || r.numbers() != "34" || strings.Contains(r.notes.String(), "gap: ") != c.want {
			t.Errorf("after %v: %q, %v, notes %q", c.after, r.numbers(), err, r.notes.String())
		}
	}
}

// TestKeptIsBounded: few large bodies are kept, not as many as were asked for.
func TestKeptIsBounded(t *testing.T) {
	k := kept{last: 100}
	body := make([]byte, maxKept/4)
	for range 10 {
		k.add([]Message{{Body: body}})
	}
	if len(k.messages) != 4 || !k.dropped {
		t.Errorf("%d messages, dropped %v", len(k.messages), k.dropped)
	}
}
