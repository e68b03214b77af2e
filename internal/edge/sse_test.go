package edge

import (
	"bufio"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

// events opens a stream.
func (w *world) events(url, lastEventID string) (*http.Response, *bufio.Reader) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), "GET", url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := w.http.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { response.Body.Close() })
	return response, bufio.NewReader(response.Body)
}

// event reads up to the next empty line.
func event(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(line)
		if line == "\n" {
			return text.String()
		}
	}
}

func sse(m *proto.Message) string {
	return "id: " + m.ID.String() + "\ndata: " + element(wire.JSONFrame(m, 0)) + "\n\n"
}

func TestStream(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		before := w.publish(`{"n":0}`, alice)
		response, stream := w.events(w.url("/bitrix/sse/", signed(alice)), "")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		// The head has no data, so it is not an event. But a client that loses the connection now
		// comes back with its id.
		if got := event(t, stream); !regexp.MustCompile(`^retry: [12]\d{3}\nid: ` + before.ID.String() + `\n\n$`).MatchString(got) {
			t.Errorf("head %q", got)
		}
		first := w.publish(`{"n":1}`, alice)
		if got := event(t, stream); got != sse(first) {
			t.Errorf("event %q", got)
		}
		start := time.Now()
		if got := event(t, stream); got != ":\n\n" {
			t.Errorf("comment %q", got)
		}
		if after := time.Since(start); after > 25*time.Second {
			t.Errorf("comment after %v", after)
		}
		if got := event(t, stream); got != ":\n\n" || time.Since(start) < 25*time.Second || time.Since(start) > 50*time.Second {
			t.Errorf("second comment %q after %v", got, time.Since(start))
		}
		second := w.publish(`{"n":2}`, alice)
		third := w.publish("no JSON\n#", alice)
		if got := event(t, stream) + event(t, stream); got != sse(second)+sse(third) {
			t.Errorf("events %q", got)
		}
		synctest.Wait() // what has been written is counted after it
		if w.value("connections", "sse") != 1 || w.value("delivered_total", "sse") != 3 {
			t.Error("not counted")
		}
		response.Body.Close()
		synctest.Wait()
		if w.value("connections", "sse") != 0 {
			t.Error("still there")
		}
		// A browser that reconnects by itself sends the id in a header. It is newer than the one in
		// the address.
		_, stream = w.events(w.url("/sse/x", signed(alice), "mid", before.ID.String()), first.ID.String())
		event(t, stream)
		if got := event(t, stream) + event(t, stream); got != sse(second)+sse(third) {
			t.Errorf("replay %q", got)
		}
		_, stream = w.events(w.url("/sse/", signed(alice), "mid", second.ID.String()), "nonsense")
		event(t, stream)
		if got := event(t, stream); got != sse(third) {
			t.Errorf("replay after mid %q", got)
		}
	})
}

// TestStreamOfAnEmptyLog: a client that loses the connection before the portal's very first message
// comes back with an id all the same.
func TestStreamOfAnEmptyLog(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		response, stream := w.events(w.url("/sse/", signed(alice)), "")
		head := event(t, stream)
		if !regexp.MustCompile(`^retry: \d+\nid: 0{26}\n\n$`).MatchString(head) {
			t.Fatalf("head %q", head)
		}
		response.Body.Close()
		m := w.publish(`{}`, alice)
		_, stream = w.events(w.url("/sse/", signed(alice)), strings.Repeat("0", 26))
		if got := event(t, stream); !strings.HasSuffix(got, "\nid: "+strings.Repeat("0", 26)+"\n\n") {
			t.Errorf("second head %q", got)
		}
		if got := event(t, stream); got != sse(m) {
			t.Errorf("event %q", got)
		}
	})
}

// TestStreamEndsWithTheEdge: the answer is complete, so that browsers reconnect by themselves.
func TestStreamEndsWithTheEdge(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		stream := w.get(w.url("/sse/", signed(alice)))
		w.edge.Drain(t.Context())
		if got := <-stream; got.status != http.StatusOK || got.err != nil {
			t.Errorf("%d, %v", got.status, got.err)
		}
		if w.value("session_ends_total", "leaving") != 1 {
			t.Error("not counted")
		}
	})
}

// TestStreamOfManyWakes: messages and comments are both delivered, even if they are due at the same
// moment.
func TestStreamOfManyWakes(t *testing.T) {
	inWorld(t, func(c *settings) { c.PingInterval = 100 * time.Millisecond }, func(t *testing.T, w *world) {
		_, stream := w.events(w.url("/sse/", signed(alice)), "")
		event(t, stream)
		var want []string
		for range 200 {
			time.Sleep(37 * time.Millisecond)
			want = append(want, sse(w.publish(`{}`, alice)))
		}
		for i := 0; i < len(want); {
			got := event(t, stream)
			if got == ":\n\n" {
				continue
			}
			if got != want[i] {
				t.Fatalf("event %d is %q", i, got)
			}
			i++
		}
	})
}
