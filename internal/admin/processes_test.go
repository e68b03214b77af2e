package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/fleet"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// installation has the admin ports of three processes that share a Redis: edge-0 and edge-1, and
// publisher-0, which has no connections to move.
type installation struct {
	server    *storetest.Redis
	processes map[string]*world
	asked     map[string]int // how often each has said how it is, guarded by mu
	mu        sync.Mutex
}

func install(t *testing.T) *installation {
	i := &installation{server: storetest.StartRedis(t), processes: make(map[string]*world), asked: make(map[string]int)}
	for _, id := range []string{"edge-0", "edge-1", "publisher-0"} {
		rdb, err := store.Open(i.server.URL())
		if err != nil {
			t.Fatal(err)
		}
		st := store.New(rdb, store.Config{Timeout: 5 * time.Second, Ping: 100 * time.Millisecond})
		others := fleet.New(st, id, slog.New(slog.DiscardHandler))
		i.processes[id] = newWorld(t, func(c *Config) {
			c.Process, c.Audit, c.Fleet = id, st, others
			c.Status = func() Process {
				i.mu.Lock()
				defer i.mu.Unlock()
				i.asked[id]++
				return Process{ID: id, LogLevel: levelName(c.Level.Level())}
			}
			if c.Settings = []string{"of " + id}; id != "publisher-0" {
				others.Handle(Rebalance, rebalanced(id))
			}
		})
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { others.Run(ctx) })
		t.Cleanup(func() {
			cancel()
			running.Wait()
			rdb.Close()
		})
	}
	testkit.Eventually(t, "all processes", func() bool { return len(i.processes["edge-0"].list().Processes) == 3 })
	return i
}

// list returns the answer of GET /admin/processes.
func (w *world) list() (list struct {
	Self      string
	Processes []Process
	Silent    []string
	Error     string
}) {
	w.t.Helper()
	answer := w.do("GET", "/admin/processes", "")
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || answer.StatusCode != 200 {
		w.t.Fatal(answer.StatusCode, err)
	}
	return list
}

// TestProcessesOfAnInstallation: by the admin port of one process, an operator sees all and acts on
// each of them; each act is in the audit log once, with the process that it was done to.
func TestProcessesOfAnInstallation(t *testing.T) {
	i := install(t)
	edge, other, publisher := i.processes["edge-0"], i.processes["edge-1"], i.processes["publisher-0"]
	bearer := []string{"Authorization", "Bearer " + actToken}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/admin/config?process=publisher-0", "", 200, `{"process":"publisher-0","settings":["of publisher-0"]}`},
		{"GET", "/admin/config", "", 200, `{"process":"edge-0","settings":["of edge-0"]}`},
		{"PUT", "/admin/log-level?process=edge-1", `{"level": "warn"}`, 200, `{"level":"warn"}`},
		{"GET", "/admin/log-level?process=edge-1", "", 200, `{"level":"warn"}`},
		{"GET", "/admin/log-level", "", 200, `{"level":"info"}`},
		{"POST", "/admin/rebalance?process=edge-1", "", 202, `{"moving":7,"process":"edge-1"}`},
		{"POST", "/admin/rebalance?process=publisher-0", "", 502, `does not know this question`},
		{"POST", "/admin/drain?process=publisher-0", "", 202, `{"process":"publisher-0","state":"draining"}`},
		{"POST", "/admin/drain?process=none", "", 504, "No process with this id answers"},
		{"POST", "/admin/drain?process=", "", 400, "the id of a process"},
		{"POST", "/admin/drain?process=a%0Ab", "", 400, "the id of a process"},
		{"POST", "/admin/drain?process=" + strings.Repeat("x", 129), "", 400, "the id of a process"},
	} {
		answer := edge.do(c.method, c.path, c.body, bearer...)
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, answer.StatusCode, text)
		}
	}
	publisher.mu.Lock()
	defer publisher.mu.Unlock()
	if other.level.Level() != slog.LevelWarn || edge.level.Level() != slog.LevelInfo || fmt.Sprint(publisher.drained, edge.drained) != "[anna] []" {
		t.Errorf("levels %v and %v, drained %v and %v", edge.level, other.level, publisher.drained, edge.drained)
	}
	if text := other.log.String(); !strings.Contains(text, "who=anna") {
		t.Errorf("the process that it was done to logged %s", text)
	}
	var acts []string
	for _, a := range slices.Backward(edge.acts("")) {
		acts = append(acts, strings.TrimSpace(fmt.Sprint(a.Process, " ", a.What, " ", a.Whom, " ", a.Result)))
	}
	want := []string{"edge-1 log-level warn done", "edge-1 rebalance  done", "publisher-0 rebalance  failed 502", "publisher-0 drain  done",
		"none drain  failed 504", "edge-0 drain  failed 400", "edge-0 drain  failed 400", "edge-0 drain  failed 400"}
	if diff := testkit.Diff(want, acts); diff != "" {
		t.Error(diff)
	}
	testkit.Eventually(t, "a new list", func() bool {
		list := edge.list()
		var said []string
		for _, p := range list.Processes {
			said = append(said, p.ID+" "+p.LogLevel)
		}
		return slices.Equal(said, []string{"edge-0 info", "edge-1 warn", "publisher-0 info"}) && list.Self == "edge-0" && list.Error == ""
	})
}

// TestProcessesAreAskedOnceForAll: however many look at the list, the processes are asked once a
// second.
func TestProcessesAreAskedOnceForAll(t *testing.T) {
	i := install(t)
	i.mu.Lock()
	before, began := i.asked["edge-1"], time.Now()
	i.mu.Unlock()
	var asking sync.WaitGroup
	for range 200 {
		asking.Go(func() { i.processes["edge-0"].list() })
	}
	asking.Wait()
	i.mu.Lock()
	defer i.mu.Unlock()
	if n, most := i.asked["edge-1"]-before, 1+int(time.Since(began)/statusLife); n > most {
		t.Errorf("a process was asked %d times, want at most %d", n, most)
	}
}

// TestProcessesWithoutRedis: this process is operated as ever, and the list says what it does not
// have.
func TestProcessesWithoutRedis(t *testing.T) {
	i := install(t)
	edge := i.processes["edge-0"]
	i.server.Stop()
	testkit.Eventually(t, "a list of one", func() bool {
		list := edge.list()
		return len(list.Processes) == 1 && list.Processes[0].ID == "edge-0" && strings.Contains(list.Error, "Redis")
	})
	bearer := []string{"Authorization", "Bearer " + actToken}
	for path, want := range map[string]int{"/admin/config": 200, "/admin/config?process=edge-0": 200, "/admin/config?process=edge-1": 503} {
		answer := edge.do("GET", path, "", bearer...)
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != want {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
	if answer := edge.do("POST", "/admin/drain?process=edge-0", "", bearer...); answer.StatusCode != 202 || len(edge.drained) != 1 {
		t.Errorf("drain: %d, %v", answer.StatusCode, edge.drained)
	}
}
