package edge

import (
	"context"
	"testing"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// reported returns the latest statistics of the edge, which are at most half a minute old.
func (w *world) reported() proto.Process {
	w.t.Helper()
	time.Sleep(20 * time.Second)
	processes, err := w.log.Processes(w.t.Context())
	if err != nil || len(processes) != 1 {
		w.t.Fatalf("%+v, %v", processes, err)
	}
	got := processes[0]
	if got.PID == 0 || time.Since(time.UnixMilli(got.Date)) > 20*time.Second {
		w.t.Errorf("process %d reported at %d", got.PID, got.Date)
	}
	return got
}

func wantNumbers(t *testing.T, what string, got, want proto.Numbers) {
	t.Helper()
	want.Cluster = true
	want.Limits = proto.StatsLimits{Payload: limits.Payload, Connections: limits.Connections, Messages: limits.Messages, Channels: limits.Channels}
	if diff := testkit.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// TestStatisticsAreKept: connections are counted by kind, and so is what clients of each version
// send.
func TestStatisticsAreKept(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.dial(w.url("/subws/", signed(alice, bob)))
		w.get(w.url("/sub/", signed(alice)))
		stream, err := w.http.Get(w.url("/sse/", signed(bob)))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()
		wantNumbers(t, "at first", w.reported().Numbers, proto.Numbers{Channels: 2, WebSockets: 1, Polls: 2})

		socket := w.dial(rpcURL("/subws/", token(5)))
		for _, call := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":2,"method":"listChannels"}`, `{"jsonrpc":"2.0","id":3,"method":"nothing"}`,
			`{"jsonrpc":"2.0","id":4,"method":"publish","params":{"userList":[6],"body":{"module_id":"im","command":"hi","params":{}}}}`,
			`{"jsonrpc":"2.0","id":5,"method":"publish","params":{"userList":[6],"body":{"module_id":"pull","command":"hi","params":{}}}}`,
			`{"jsonrpc":"2.0","id":6,"method":"subscribeStatusChange","params":{"userId":6}}`, `{"jsonrpc":"2.0","id":7,"method":"getUsersLastSeen","params":{"userList":[6]}}`,
		} {
			w.ask(socket, call)
		}
		got := w.reported()
		day := proto.Daily{Requests: proto.Counts{"ping": 1, "listChannels": 1, "publish": 1, "subscribeStatusChange": 1, "getUsersLastSeen": 1},
			Messages: proto.Counts{"im_hi": 1}}
		if diff := testkit.Diff(day, got.Daily); diff != "" {
			t.Errorf("%s", diff)
		}
		wantNumbers(t, "of the only portal", got.Portals[portal.Default], got.Numbers)
	})
}

// TestStatisticsAreTakenAway: the statistics of an edge that ends are removed.
func TestStatisticsAreTakenAway(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		t.Cleanup(func() {
			if processes, err := w.log.Processes(context.Background()); err != nil || len(processes) != 0 {
				t.Errorf("after its end: %+v, %v", processes, err)
			}
		})
		socket := w.dial(w.url("/subws/", signed(alice)))
		w.get(w.url("/sub/", signed(alice)))
		socket.CloseNow()
		time.Sleep(time.Minute)
		wantNumbers(t, "when all have gone", w.reported().Numbers, proto.Numbers{})
	})
}

func TestStatisticsOfManyPortals(t *testing.T) {
	inMany(t, nil, func(t *testing.T, s *manyWorld) {
		s.dial(s.url("/subws/", clientA, "a"))
		s.dial(s.url("/subws/", clientA, "a"))
		s.get(s.url("/sub/", clientB, "b"))
		got := s.reported()
		wantNumbers(t, "all", got.Numbers, proto.Numbers{Channels: 2, WebSockets: 2, Polls: 1})
		wantNumbers(t, "a", got.Of(clientA).Numbers, proto.Numbers{Channels: 1, WebSockets: 2})
		wantNumbers(t, "b", got.Of(clientB).Numbers, proto.Numbers{Channels: 1, Polls: 1})
	})
}
