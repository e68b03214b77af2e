package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/compare"
	"pushgate/internal/testkit"
)

// comparison is a comparer that runs beside traffic.
type comparison struct {
	cancel context.CancelFunc
	ended  chan struct{}
	soFar  atomic.Pointer[compare.Result]
	result compare.Result // when it has ended, like the rest
	out    bytes.Buffer
	err    error
}

// startComparison returns when a comparison has begun.
func startComparison(t *testing.T, a, b *World, poll bool, ids ...channel.ID) *comparison {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &comparison{cancel: cancel, ended: make(chan struct{})}
	begun := make(chan struct{})
	go func() {
		defer close(c.ended)
		c.result, c.err = compare.Run(ctx, compare.Options{A: &url.URL{Scheme: "http", Host: a.Public}, B: &url.URL{Scheme: "http", Host: b.Public},
			IDs: []string{a.Signed(ids...)}, Poll: poll, Warmup: time.Second, Patience: 5 * time.Second, Out: &c.out, Started: func() { close(begun) },
			Progress: func(r compare.Result) { c.soFar.Store(&r) }})
	}()
	select {
	case <-begun:
	case <-c.ended:
		t.Fatalf("ended too early: %v\n%s", c.err, &c.out)
	}
	return c
}

// end ends a comparison after so many messages have come from both servers, and returns its result
// and what it wrote.
func (c *comparison) end(t *testing.T, want [2]int) (compare.Result, string) {
	t.Helper()
	testkit.Wait(func() bool { return c.soFar.Load().Received == want }) // else the result says it
	c.cancel()
	<-c.ended
	if c.err != nil {
		t.Error(c.err)
	}
	return c.result, c.out.String()
}

// endSame ends a comparison that must find so many messages at both servers, and no difference.
func (c *comparison) endSame(t *testing.T, want int) {
	t.Helper()
	result, text := c.end(t, [2]int{want, want})
	if result.Differs() || result.Matched != want {
		t.Errorf("want %d that are equal:\n%s", want, text)
	}
	t.Log(text)
}

// TestComparerFindsDifferences plants one message that is missing, one with a changed byte, and two
// that are swapped, among many that are the same: it finds these, and no others.
func TestComparerFindsDifferences(t *testing.T) {
	t.Parallel()
	a, b := mirroredWorlds(t)
	id, swapped := NewChannel(), NewChannel()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for _, poll := range []bool{false, true} {
		c := startComparison(t, a, b, poll, id, swapped)
		n := 0
		body := func(n int) string {
			return fmt.Sprintf(`{"module_id":"im","command":"message","params":{"n":%06d,"text":"%s"}}`, n, strings.Repeat("x", 40))
		}
		post := func(w *World, id channel.ID, text string, header ...string) {
			t.Helper()
			if _, err := w.post(t.Context(), client, w.Publishers[0], text, id, header...); err != nil {
				t.Fatal(err)
			}
		}
		same := func(count int) { // at both, and arrived there
			t.Helper()
			for range count {
				n++
				post(a, id, body(n))
				post(a, swapped, body(n))
			}
			if err := a.Publishers[0].Await(t.Context(), func(ctx context.Context) error {
				_, queued, err := mirrored(ctx, a.Publishers[0])
				if err == nil && queued > 0 {
					err = fmt.Errorf("%v copies in the queue", queued)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		alone := []string{"X-Pushgate-Mirror", "1"} // posts to a that are not copied
		same(50)
		post(a, id, body(900_001), alone...) // missing at B
		same(50)
		post(a, id, body(900_002), alone...)
		post(b, id, strings.Replace(body(900_002), "xx", "xy", 1))
		same(50)
		post(a, swapped, body(900_003), alone...)
		post(a, swapped, body(900_004), alone...)
		post(b, swapped, body(900_004))
		post(b, swapped, body(900_003))
		same(50)
		received := [2]int{2*n + 4, 2*n + 3}
		result, text := c.end(t, received)
		want := compare.Result{Received: received, Matched: 2*n + 2, Only: [2]int{1, 0}, Changed: 1, Order: 1,
			Median: result.Median, Low: result.Low, High: result.High}
		if result != want {
			t.Errorf("poll %v: %+v\nwant %+v\n%s", poll, result, want, text)
		}
		t.Logf("poll %v:\n%s", poll, text)
		for _, secret := range []string{id.String(), swapped.String(), strings.Split(a.Signed(id), ".")[1], "xxx"} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is in\n%s", text)
			}
		}
	}
}

// TestComparerSaysWhatItCannotCompare: a wrong signature and a server that is not there are no
// success.
func TestComparerSaysWhatItCannotCompare(t *testing.T) {
	t.Parallel()
	a := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	here := &url.URL{Scheme: "http", Host: a.Public}
	right := a.Signed(NewChannel())
	wrong := func() string { return NewChannel().String() + "." + strings.Split(right, ".")[1] }
	for name, c := range map[string]struct {
		b    *url.URL
		id   string
		poll bool
		want string
	}{
		"wrong signature":           {here, wrong(), false, "refused by A: wrong channel id or signature"},
		"wrong signature, by polls": {here, wrong(), true, "refused by B: wrong channel id or signature"},
		"nobody there":              {&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, right, false, "not connected to B: "},
		"nothing posted":            {here, right, false, compare.ErrNothing.Error()},
	} {
		var out bytes.Buffer
		result, err := compare.Run(t.Context(), compare.Options{A: here, B: c.b, IDs: []string{c.id}, Poll: c.poll, For: 2 * time.Second,
			Warmup: time.Second, Patience: time.Second, Out: &out})
		text := fmt.Sprintln(out.String(), err)
		if !result.Differs() && err == nil || !strings.Contains(text, c.want) || strings.Contains(text, c.id[:20]) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
