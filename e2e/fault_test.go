package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// scale returns a number that the environment may change.
func scale(t *testing.T, name string, usual, short int) int {
	t.Helper()
	if testing.Short() {
		usual = short
	}
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// usualPortals is how many portals share the installation in the fault run; 0 is one personal
// portal.
const usualPortals = 3

// TestFaultRun checks the guarantee. Clients of every dialect come and go by every transport, while
// edges are killed and restarted, nginx is reloaded and an edge loses Redis. Each must receive
// exactly what was accepted for it, in id order and from its own portal.
//
// E2E_MESSAGES, E2E_CLIENTS, E2E_RATE (messages a second) and E2E_PORTALS change its size.
func TestFaultRun(t *testing.T) {
	const shared = 8
	messages := scale(t, "E2E_MESSAGES", 20_000, 2_500)
	clients := scale(t, "E2E_CLIENTS", 200, 48)
	rate := scale(t, "E2E_RATE", 500, 250)
	portals := scale(t, "E2E_PORTALS", usualPortals, usualPortals)
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, Portals: portals, FaultyLinks: true, Shutdown: "1s",
		EdgeEnv: []string{"PUSHGATE_POLL_TIMEOUT=2s", "PUSHGATE_DRAIN=2s"}})
	crowd := newCrowd(t, w, clients, shared)
	for i, s := range crowd.subscribers {
		if i/len(w.Portals)/len(kinds)%4 == 3 {
			s.From = "" // it starts from nowhere: from the first id that it receives
		}
	}
	crowd.live(Habits{Polls: 0.5, Life: 6 * time.Second, Pause: 200 * time.Millisecond})

	began := time.Now()
	var accepted atomic.Int64
	faults := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() {
		faults <- w.misfortunes(t.Context(), func() float64 { return float64(accepted.Load()) / float64(messages) })
	})
	crowd.publish(t, messages, rate, &accepted)
	posting := time.Since(began)
	running.Wait()
	if err := <-faults; err != nil {
		t.Fatal(err)
	}
	crowd.awaitAll(t)

	r := crowd.ledger.Check(crowd.subscribers)
	done, unknown := crowd.ledger.Counts()
	t.Logf("%v (%d portals, %d clients, %d messages in %.1f s, %d more with unknown outcome, %d deliveries)", r, len(w.Portals), clients, done,
		posting.Seconds(), unknown, r.Arrivals)
	crowd.table(t, r)
	t.Logf("longest silence of a client %v; %d WebSockets, %d polls, %d streams, %d heartbeats; %d connections broke; closes %v; statuses %v",
		r.Silence.Round(time.Millisecond), r.Counts.WebSockets, r.Counts.Polls, r.Counts.Streams, r.Counts.Heartbeats, r.Counts.Broken,
		r.Counts.Closes, r.Counts.Statuses)
	acknowledged := 0.0
	for _, p := range w.Edges {
		var values []string
		for _, series := range []string{"resyncs", "replayed", "replay_errors", "inbox_overflows", "gaps", "acknowledged"} {
			n, err := p.Metric(t.Context(), "pushgate_"+series+"_total")
			if err != nil {
				t.Error(err)
			}
			values = append(values, fmt.Sprintf("%s %v", series, n))
			if series == "acknowledged" {
				acknowledged += n
			}
		}
		t.Logf("%s, since it was started last: %s", p.Name, strings.Join(values, ", "))
	}
	if acknowledged == 0 {
		t.Error("nothing was acknowledged")
	}
	crowd.verdict(t, r)
	if r.Gaps > 0 {
		t.Errorf("clients got %d notes of a gap, and nothing was lost", r.Gaps)
	}
}

// misfortunes causes the faults, one after another, as the posts progress.
func (w *World) misfortunes(ctx context.Context, progress func() float64) error {
	at := func(share float64) error {
		for progress() < share {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
		return nil
	}
	pause := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	for _, step := range []struct {
		share float64
		act   func() error
	}{
		{0.10, func() error { // an edge is killed, and comes back
			w.Edges[0].Kill()
			if err := pause(time.Second); err != nil {
				return err
			}
			return w.Edges[0].Start(ctx)
		}},
		{0.35, func() error { // another leaves as it should, and comes back
			if err := w.Edges[1].Stop(); err != nil {
				return err
			}
			return w.Edges[1].Start(ctx)
		}},
		{0.50, func() error { return w.Nginx.Signal(syscall.SIGHUP) }},
		// All portals get new keys. What was signed with the old ones is still accepted.
		{0.60, func() error {
			if w.Portals[0].ClientID == "" {
				return nil
			}
			return w.ChangeKeys(ctx)
		}},
		{0.75, func() error { // the third loses Redis for two seconds
			w.Links[2].Refuse(true)
			w.Links[2].Cut()
			err := pause(2 * time.Second)
			w.Links[2].Refuse(false)
			return err
		}},
	} {
		if err := at(step.share); err != nil {
			return err
		}
		if err := step.act(); err != nil {
			return err
		}
	}
	return nil
}
