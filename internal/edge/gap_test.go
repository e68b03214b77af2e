package edge

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/hub"
	"pushgate/internal/proto"
	"pushgate/internal/wire/pb"
)

// loseAll makes the log lose everything, like a Redis that restarts empty, and begin a new epoch.
func (w *world) loseAll() (head proto.ID) {
	w.t.Helper()
	w.log.Flush()
	w.log.Cut()
	synctest.Wait()
	return w.edge.personal().hub.Head()
}

// heard is a message as decoded by a reader of any dialect.
type heard struct{ mid, body string }

// dialects are those that a subscriber can request, with functions that decode their frames.
var dialects = []struct {
	name, param string
	take        func(t *testing.T, payload string) []heard
}{
	{"text", "", func(t *testing.T, payload string) (all []heard) {
		for _, record := range strings.Split(strings.TrimSuffix(payload, "#!NGINXNME!#"), "#!NGINXNME!#") {
			all = append(all, fromRecord(t, []byte(strings.TrimPrefix(record, "#!NGINXNMS!#"))))
		}
		return all
	}},
	{"binary", "binaryMode", func(t *testing.T, payload string) (all []heard) {
		var batch pb.ResponseBatch
		if err := protobuf.Unmarshal([]byte(payload), &batch); err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.GetResponses() {
			for _, m := range r.GetOutgoingMessages().GetMessages() {
				if sender := m.GetSender().GetType(); strings.Contains(m.GetBody(), "pushgate") && sender != pb.SenderType_BACKEND {
					t.Errorf("a note from %v", sender)
				}
				all = append(all, heard{hex.EncodeToString(m.GetId()), m.GetBody()})
			}
		}
		return all
	}},
	{"JSON", "format", func(t *testing.T, payload string) (all []heard) {
		for _, record := range elements(t, payload) {
			all = append(all, fromRecord(t, record))
		}
		return all
	}},
	{"JSON-RPC", "jsonRpc", func(t *testing.T, payload string) (all []heard) {
		for _, call := range elements(t, payload) {
			var m struct {
				Params struct {
					Mid    string
					Body   json.RawMessage
					Sender struct{ Type int }
				}
			}
			if err := json.Unmarshal(call, &m); err != nil || m.Params.Sender.Type != 2 {
				t.Errorf("%s: %v", call, err)
			}
			all = append(all, heard{m.Params.Mid, string(m.Params.Body)})
		}
		return all
	}},
}

func fromRecord(t *testing.T, record []byte) heard {
	t.Helper()
	var m struct {
		Mid, Channel string
		Text         json.RawMessage
	}
	if err := json.Unmarshal(record, &m); err != nil || m.Channel != alice.String() {
		t.Errorf("%s: %v", record, err)
	}
	return heard{m.Mid, string(m.Text)}
}

// elements returns the elements of an array, or anything else as the only element.
func elements(t *testing.T, payload string) (all []json.RawMessage) {
	t.Helper()
	if payload[0] != '[' {
		return []json.RawMessage{json.RawMessage(payload)}
	}
	if err := json.Unmarshal([]byte(payload), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// wantNote checks a note of what is missing between two ids, and returns how long a page must wait.
func wantNote(t *testing.T, got heard, mid, after, before proto.ID) float64 {
	t.Helper()
	var note struct {
		Module  string `json:"module_id"`
		Command string
		Params  struct {
			After, Before string
			Spread        float64
		}
		Extra map[string]float64
	}
	if err := json.Unmarshal([]byte(got.body), &note); err != nil {
		t.Fatal(err)
	}
	now := float64(time.Now().UnixMicro()) / 1e6
	if note.Module != "pushgate" || note.Command != "gap" || got.mid != mid.String() || note.Params.After != after.String() || note.Params.Before != before.String() {
		t.Errorf("note %+v, want %v from %v to %v", got, mid, after, before)
	}
	if sent := note.Extra["server_time_unix"]; len(note.Extra) != 1 || sent > now || sent < now-60 {
		t.Errorf("extra %v at %v", note.Extra, now)
	}
	if note.Params.Spread < 0 || note.Params.Spread > 60 {
		t.Errorf("spread of %v s", note.Params.Spread)
	}
	return note.Params.Spread
}

// TestGapIsToldInEveryDialect: a client that returns with an id from before a loss gets a note with
// an id of its own, and goes on after it.
func TestGapIsToldInEveryDialect(t *testing.T) {
	for _, d := range dialects {
		for _, left := range []bool{true, false} {
			t.Run(d.name+map[bool]string{true: ", some is left", false: ", nothing is left"}[left], func(t *testing.T) {
				inWorld(t, nil, func(t *testing.T, w *world) {
					had := w.publish(`{"n":1}`, alice).ID
					w.publish(`{"n":2}`, alice)
					head := w.loseAll()
					before := head
					if left {
						before = w.publish(`{"n":3}`, alice).ID
					}
					url := func(path string, mid proto.ID) string {
						return w.url(path, signed(alice), "mid", mid.String(), d.param, map[string]string{"format": "json"}[d.param]+map[bool]string{true: "true"}[d.param != "format"])
					}
					check := func(payload string) {
						t.Helper()
						got := d.take(t, payload)
						if want := map[bool]int{true: 2, false: 1}[left]; len(got) != want {
							t.Fatalf("%d messages: %v", len(got), got)
						}
						wantNote(t, got[0], head, had, before)
						if left && got[1] != (heard{before.String(), `{"n":3}`}) {
							t.Errorf("then %v", got[1])
						}
					}
					conn := w.dial(url("/bitrix/subws/", had))
					frame, err := w.read(conn)
					if err != nil {
						t.Fatal(err)
					}
					check(frame)
					poll := <-w.get(url("/bitrix/sub/", had))
					if poll.status != http.StatusOK || poll.after != 0 {
						t.Errorf("a poll was answered with %d after %v", poll.status, poll.after)
					}
					check(poll.body)

					// A client that has the note's id has missed nothing since, and gets no second
					// note.
					live := w.publish(`{"n":4}`, alice)
					frame, err = w.read(conn)
					if got := d.take(t, frame); err != nil || len(got) != 1 || got[0] != (heard{live.ID.String(), `{"n":4}`}) {
						t.Errorf("live %q, %v", got, err)
					}
					again := <-w.get(url("/sub/", head))
					if got := d.take(t, again.body); got[0].body != map[bool]string{true: `{"n":3}`, false: `{"n":4}`}[left] {
						t.Errorf("after the note's id: %q", got)
					}
					if w.value("gaps_total", "") != 2 || w.value("gap_notes_total", "") != 2 {
						t.Errorf("%v gaps, %v notes", w.value("gaps_total", ""), w.value("gap_notes_total", ""))
					}
				})
			})
		}
	}
}

// TestGapInAStream: a stream gets a note, whose id is the next Last-Event-ID.
func TestGapInAStream(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		had := w.publish(`{"n":1}`, alice).ID
		w.publish(`{"n":2}`, alice)
		_, live := w.events(w.url("/sse/", signed(alice)), "") // it has nothing, and misses nothing
		event(t, live)
		head := w.loseAll()
		note := func(text string) heard {
			t.Helper()
			id, data, ok := strings.Cut(strings.TrimPrefix(text, "id: "), "\ndata: ")
			got := fromRecord(t, []byte(data))
			if !ok || got.mid != id {
				t.Errorf("event %q", text)
			}
			return got
		}
		_, stream := w.events(w.url("/sse/", signed(alice)), had.String())
		event(t, stream)
		wantNote(t, note(event(t, stream)), head, had, head)
		third := w.publish(`{"n":3}`, alice)
		if got := event(t, stream); got != sse(third) {
			t.Errorf("then %q", got)
		}
		_, stream = w.events(w.url("/sse/", signed(alice)), head.String())
		event(t, stream)
		if got := event(t, stream); got != sse(third) {
			t.Errorf("after the note's id: %q", got)
		}
	})
}

// TestGapOfALiveSession: a session that is connected when the log loses data gets a note, at most
// once a minute. Meanwhile it still gets transient messages.
func TestGapOfALiveSession(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		had := w.publish(`{}`, bob).ID
		conn := w.dial(rpcURL("/subws/", token(5, alice)))
		if reply := w.ask(conn, `{"jsonrpc":"2.0","method":"subscribeStatusChange","params":{"userId":6},"id":1}`); !strings.Contains(reply, "result") {
			t.Fatal(reply)
		}
		frames := make(chan string)
		go func() { // always: heartbeats would be stuck
			for frame, err := w.read(conn); err == nil; frame, err = w.read(conn) {
				if frame != "ping" {
					frames <- frame
				}
			}
		}()
		take := func() []heard {
			t.Helper()
			return dialects[3].take(t, <-frames)
		}
		first := w.loseAll()
		wantNote(t, take()[0], first, had, first)
		time.Sleep(10 * time.Second)
		w.loseAll()
		w.append(statusMessage(proto.Status{User: 6, Online: true}, time.Now()))
		if got := take(); len(got) != 1 || !strings.Contains(got[0].body, "userStatusChange") {
			t.Errorf("got %v", got)
		}
		time.Sleep(time.Minute)
		w.publish(`{"n":1}`, bob)
		m := w.publish(`{"n":2}`, alice)
		got := take()
		if len(got) != 2 || got[1].mid != m.ID.String() {
			t.Fatalf("got %v", got)
		}
		before, _ := m.ID.Previous()
		wantNote(t, got[0], before, first, m.ID)
		if n := w.value("gaps_total", ""); n != 2 {
			t.Errorf("%v gaps", n)
		}
	})
}

// TestGapsAreSpread: pages that reload from the portal do not all do it at once.
func TestGapsAreSpread(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		had := w.publish(`{}`, alice).ID
		head := w.loseAll()
		early := 0
		for range 200 {
			poll := <-w.get(w.url("/sub/", signed(alice), "mid", had.String()))
			if wantNote(t, dialects[0].take(t, poll.body)[0], head, had, head) < 30 {
				early++
			}
		}
		if early < 60 || early > 140 {
			t.Errorf("%d of 200 in the first half of the window", early)
		}
	})
}

// TestGapLog: gaps are logged at intervals, with their number and without channels.
func TestGapLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&text, nil))
		var log gapLog
		for range 30 {
			log.note(logger, "default", &hub.Gap{})
			time.Sleep(time.Second)
		}
		if got := text.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, "gaps=1 ") || strings.Count(got, "gaps=10 ") != 2 {
			t.Error(got)
		}
	})
}
