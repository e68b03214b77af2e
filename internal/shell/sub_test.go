package shell

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
)

// reader collects what a subscription or a tail prints.
type reader struct {
	mu    sync.Mutex
	all   []Message
	notes testkit.Buffer
	fail  error // of print, from the second message on
}

func (r *reader) print(messages []Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, messages...)
	if len(r.all) > 1 {
		return r.fail
	}
	return nil
}

func (r *reader) note(format string, args ...any) { fmt.Fprintf(&r.notes, format+"\n", args...) }

// got returns the messages that were printed.
func (r *reader) got() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// numbers returns the numbers of the messages that were printed.
func (r *reader) numbers() string {
	var b strings.Builder
	for _, m := range r.got() {
		_, after, _ := strings.Cut(string(m.Body), `"n":"`)
		n, _, _ := strings.Cut(after, `"`)
		b.WriteString(n)
	}
	return b.String()
}

// start runs a subscription until the returned function is called, which returns its error.
func (r *reader) start(t *testing.T, s *Subscription) (stop func() error) {
	t.Helper()
	s.Print, s.Note = r.print, r.note
	if s.Portal == nil {
		s.Portal = testPortal()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return sync.OnceValue(func() error { cancel(); return <-done })
}

// TestSubscribe: on each transport, connections are cut, before the first message and after others.
// Nothing is lost and nothing comes twice.
func TestSubscribe(t *testing.T) {
	w, log := startWorld(t)
	for i, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			proxy := faulty.Start(t, w.Edge.Listener.Addr().String())
			id := testkit.Channel(byte(i + 1))
			publish := func(n string) {
				m := &proto.Message{Receivers: names(t, id.String()).Channels(), Body: message(n), Type: "im_message", TTL: time.Hour,
					Sender: proto.Sender{Type: proto.SenderBackend}, Created: time.Now()}
				if _, err := log.Append(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			publish("-") // of before
			r := &reader{}
			stop := r.start(t, &Subscription{Server: open(t, "http://"+proxy.Addr()), Names: names(t, id.String(), id.String()+":"+public), Transport: transport})
			defer stop()
			testkit.Eventually(t, "connected", func() bool {
				n, _ := testkit.Metric(t, w.Metrics, "pushgate_connections", map[string]string{WebSocket: "websocket", Poll: "longpoll", Stream: "sse"}[transport])
				return n == 1 && r.notes.String() != ""
			})
			proxy.Refuse(true)
			proxy.Cut()
			publish("1")
			publish("2")
			proxy.Refuse(false)
			testkit.Eventually(t, "the messages of before the first one", func() bool { return r.numbers() == "12" })
			publish("3")
			testkit.Eventually(t, "a live message", func() bool { return r.numbers() == "123" })
			proxy.Cut()
			publish("4")
			testkit.Eventually(t, "a message of meanwhile", func() bool { return r.numbers() == "1234" })
			if err := stop(); err != nil {
				t.Error(err)
			}
			last := r.got()[3]
			if last.Type != "im_message" || last.Sender != portalSender || last.Channel != id.LogValue().String() || time.Since(last.Time) > time.Minute || last.Size != len(message("4")) {
				t.Errorf("%+v", last)
			}
			if notes := r.notes.String(); !strings.Contains(notes, "connecting again") || strings.Contains(notes, id.String()) || strings.Contains(notes, "CHANNEL_ID") {
				t.Errorf("notes: %s", notes)
			}
		})
	}
}

// TestSubscribeAsUser: a user gets what is sent to the user; --since brings what was before; and
// the error of the output ends it.
func TestSubscribeAsUser(t *testing.T) {
	w, _ := startWorld(t)
	publish := func(n string) (mid string) {
		mid, err := open(t, w.Publisher.URL).Publish(t.Context(), testPortal(), Post{To: names(t, "7"), Body: message(n)})
		if err != nil {
			t.Fatal(err)
		}
		return mid
	}
	first := publish("1")
	publish("2")
	r := &reader{fail: errors.New("the disk is full")}
	stop := r.start(t, &Subscription{Server: open(t, w.Edge.URL), Names: names(t, "user:7"), Transport: WebSocket, Since: first})
	defer stop()
	testkit.Eventually(t, "what came after", func() bool { return r.numbers() == "2" })
	if got := r.got()[0]; got.Channel != "user:7" || got.MID <= first {
		t.Errorf("%+v", got)
	}
	publish("3")
	testkit.Eventually(t, "a live message", func() bool { return r.numbers() == "23" })
	if err := stop(); !errors.Is(err, r.fail) {
		t.Errorf("%v, want that of the output", err)
	}
}

// TestSubscribeRefused: what another attempt would only repeat ends the subscription, with what the
// server said.
func TestSubscribeRefused(t *testing.T) {
	w, _ := startWorld(t)
	forged := "." + strings.Repeat("0", 40)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no room\x1b[2J", http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	text := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == pollPath {
			w.Write([]byte(`#!NGINXNMS!#{"id":1}#!NGINXNME!#`))
			return
		}
		http.NotFound(w, r)
	}))
	defer text.Close()
	for i, transport := range Transports {
		for _, c := range []struct {
			url, word, want string
		}{
			{w.Edge.URL, strings.Repeat(strconv.Itoa(i), 32) + forged, "4010: Wrong Channel Id."},
			{w.Publisher.URL, one, "404"},
			{"http://127.0.0.1:1", one, "connection refused; --url"},
			{text.URL, one, map[string]string{Poll: "not a JSON record"}[transport]},
			{busy.URL, one, `503 Service Unavailable: no room\u001b[2J`},
		} {
			r := &reader{}
			s := &Subscription{Server: open(t, c.url), Portal: testPortal(), Names: names(t, c.word), Transport: transport, Print: r.print, Note: r.note}
			err := s.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "CHANNEL_ID=") {
				t.Errorf("%s at %s: %v", transport, c.url, err)
			}
		}
	}
	r := &reader{}
	p := &portal.Portal{Signer: testkit.Signer("another key of the tests")}
	s := &Subscription{Server: open(t, w.Edge.URL), Portal: p, Names: names(t, "7"), Transport: WebSocket, Since: strings.Repeat("0", 26), Print: r.print, Note: r.note}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "closed by the server with 4010: Wrong Channel Id. (PUSHGATE_KEYS") {
		t.Errorf("a token of another key: %v", err)
	}
}
