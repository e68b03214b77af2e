package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// TestServerStat: every publisher answers with the numbers of all processes, including what the
// publishers have accepted. A process that leaves disappears at once.
func TestServerStat(t *testing.T) {
	t.Parallel()
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 2, EdgeEnv: []string{"PUSHGATE_DRAIN=100ms"}})
	const posts = 3
	for range posts {
		status, text, err := w.Do(t.Context(), http.MethodPost, "http://"+w.Internal+"/bitrix/pub/?CHANNEL_ID="+NewChannel().String(),
			`{"module_id":"im","command":"message"}`)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%v %d %s", err, status, text)
		}
	}
	// The numbers of a process are up to 11 s old.
	expect := func(want string) {
		t.Helper()
		got := ""
		if !testkit.Wait(func() bool { got = accepted(t, w); return got == want }) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect(fmt.Sprintf("edge-0 edge-1 publisher-0 publisher-1: %d processes, %d requests, %d messages", 4, posts, posts))
	if err := w.Edges[1].Stop(); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("edge-0 publisher-0 publisher-1: %d processes, %d requests, %d messages", 3, posts, posts))
}

// accepted returns a line with the processes there are and the sum of what they have accepted.
func accepted(t *testing.T, w *World) string {
	t.Helper()
	_, text, err := w.Do(t.Context(), http.MethodGet, "http://"+w.Internal+"/server-stat/", "")
	if err != nil {
		t.Fatal(err)
	}
	var processes []struct {
		PID             int
		Date            int64
		ProcessUniqueID string
		ClusterMode     bool
		Daily           struct{ Requests, Messages map[string]int }
	}
	if err := json.Unmarshal([]byte(text), &processes); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	names, requests, messages := "", 0, 0
	pids := make(map[int]bool)
	for _, p := range processes {
		if age := time.Since(time.UnixMilli(p.Date)); age < 0 || age > time.Minute || !p.ClusterMode {
			t.Errorf("%+v", p)
		}
		pids[p.PID] = true
		names += " " + p.ProcessUniqueID
		requests += p.Daily.Requests["incomingMessages"]
		messages += p.Daily.Messages["im_message"]
	}
	return fmt.Sprintf("%s: %d processes, %d requests, %d messages", names[min(1, len(names)):], len(pids), requests, messages)
}
