//go:build linux

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakeEpoch is longer than a real one, so that commands need a frame of the longer kind.
var fakeEpoch = strings.Repeat("AbCd", 16)

// fakeCentrifugo speaks as much of Centrifugo's protocol as is needed. What it writes is, to the
// byte, what the encoder of its version 6.9.1 writes.
type fakeCentrifugo struct {
	forgets bool   // missed messages are not replayed
	refuses string // the error of every subscription, if there is to be one

	mu       sync.Mutex
	channels map[string]*fakeChannel
	pongs    int
}

type fakeChannel struct {
	log  []string
	subs map[*websocket.Conn]bool
}

// startFakeCentrifugo runs f until the test ends.
func startFakeCentrifugo(t *testing.T, f *fakeCentrifugo) Options {
	t.Helper()
	f.channels = map[string]*fakeChannel{}
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		f.mu.Lock()
		for _, ch := range f.channels {
			for c := range ch.subs {
				c.CloseNow()
			}
		}
		f.mu.Unlock()
		server.CloseClientConnections()
		server.Close()
	})
	return Options{Peer: Centrifugo, Sub: []string{server.URL}, Pub: []string{server.URL + "/api/publish?api_key=k"},
		Settle: 10 * time.Millisecond, Patience: 2 * time.Second, Connections: 40, Duration: 300 * time.Millisecond}
}

// channel returns a channel, with f.mu held.
func (f *fakeCentrifugo) channel(name string) *fakeChannel {
	ch := f.channels[name]
	if ch == nil {
		ch = &fakeChannel{subs: map[*websocket.Conn]bool{}}
		f.channels[name] = ch
	}
	return ch
}

func publication(data string, offset int) string {
	return fmt.Sprintf(`{"data":%s,"offset":%d}`, data, offset)
}

// ServeHTTP takes posts and subscribers.
func (f *fakeCentrifugo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/publish" && r.URL.Query().Get("api_key") == "k":
		var post struct {
			Channel string          `json:"channel"`
			Data    json.RawMessage `json:"data"`
		}
		if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &post) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.publish(post.Channel, string(post.Data))
		io.WriteString(w, `{"result":{}}`)
	case r.URL.Path == "/connection/websocket":
		if c, err := websocket.Accept(w, r, nil); err == nil {
			defer c.CloseNow()
			f.serve(r.Context(), c)
		}
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (f *fakeCentrifugo) publish(channel, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := f.channel(channel)
	ch.log = append(ch.log, data)
	push := fmt.Sprintf(`{"push":{"channel":%q,"pub":%s}}`, channel, publication(data, len(ch.log)))
	for c := range ch.subs {
		c.Write(context.Background(), websocket.MessageText, []byte(push))
	}
}

func (f *fakeCentrifugo) serve(ctx context.Context, c *websocket.Conn) {
	for {
		_, frame, err := c.Read(ctx)
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, ch := range f.channels {
				delete(ch.subs, c)
			}
			return
		}
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			f.command(c, line)
		}
	}
}

func (f *fakeCentrifugo) command(c *websocket.Conn, line []byte) {
	var cmd struct {
		ID        int
		Subscribe *struct {
			Channel, Epoch string
			Recover        bool
			Offset         int
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	reply := ""
	switch err := json.Unmarshal(line, &cmd); {
	case err != nil:
		c.CloseNow()
		return
	case cmd.ID == 0:
		f.pongs++
		return
	case cmd.Subscribe == nil:
		return // it is answered with the subscription
	case f.refuses != "":
		reply = `{"id":2,"error":` + f.refuses + `}`
	default:
		ch := f.channel(cmd.Subscribe.Channel)
		ch.subs[c] = true
		missed, told := "", ""
		if cmd.Subscribe.Recover {
			told = `,"was_recovering":true`
		}
		recovered := cmd.Subscribe.Recover && cmd.Subscribe.Epoch == fakeEpoch && !f.forgets
		for i := cmd.Subscribe.Offset; recovered && i < len(ch.log); i++ {
			missed += "," + publication(ch.log[i], i+1)
		}
		if missed != "" {
			missed = `,"publications":[` + missed[1:] + `]`
		}
		if recovered {
			missed += `,"recovered":true`
		}
		if len(ch.log) > 0 {
			missed += fmt.Sprintf(`,"offset":%d`, len(ch.log))
		}
		reply = fmt.Sprintf(`{"id":2,"subscribe":{"recoverable":true,"epoch":%q%s,"positioned":true%s}}`, fakeEpoch, missed, told)
	}
	c.Write(context.Background(), websocket.MessageText, []byte(`{"id":1,"connect":{"client":"c","version":"6.9.1","ping":25,"pong":true}}`+"\n"+reply))
	c.Write(context.Background(), websocket.MessageText, []byte("{}"))
}

func TestCentrifugo(t *testing.T) {
	for _, c := range []struct {
		scenario  string
		change    func(o *Options)
		delivered int // at least
	}{
		{"idle", func(o *Options) {}, 0},
		{"connect", func(o *Options) {}, 0},
		{"fanout", func(o *Options) { o.Rate = 50 }, 15 * 40},
		{"unicast", func(o *Options) { o.Rate = 200 }, 60},
		{"return", func(o *Options) { o.Missed = 5 }, 40 * 5},
		{"slow", func(o *Options) { o.Volume = 2e6; o.Slow = 4; o.Rate = 1000 }, 40 * 195},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			f := new(fakeCentrifugo)
			o := startFakeCentrifugo(t, f)
			o.Scenario = c.scenario
			c.change(&o)
			r := carryOut(t, o)
			if r.Delivered < c.delivered || r.Posted > r.Accepted || r.Connects < 40 || r.Gaps > 0 {
				t.Errorf("%d delivered, want %d; %d of %d accepted; %d connects, %d gaps", r.Delivered, c.delivered, r.Accepted, r.Posted, r.Connects, r.Gaps)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.pongs == 0 {
				t.Error("no ping was answered")
			}
		})
	}
}

func TestCentrifugoThatForgets(t *testing.T) {
	o := startFakeCentrifugo(t, &fakeCentrifugo{forgets: true})
	o.Scenario, o.Missed, o.Patience = "return", 5, 100*time.Millisecond
	r, err := Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Lost != 40*5 || r.Gaps != 40 {
		t.Errorf("%d lost, %d notes of gaps", r.Lost, r.Gaps)
	}
}

func TestCentrifugoThatRefuses(t *testing.T) {
	o := startFakeCentrifugo(t, &fakeCentrifugo{refuses: `{"code":103,"message":"permission denied"}`})
	o.Scenario, o.Connections = "connect", 1
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, o, nil); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
	o = startFakeCentrifugo(t, new(fakeCentrifugo))
	o.Scenario, o.Pub = "fanout", []string{strings.TrimSuffix(o.Pub[0], "k") + "x"}
	if _, err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v", err)
	}
}

func TestCentrifugoLines(t *testing.T) {
	body := newBody(0)
	mark{1, 1, 0}.put(body[bodyMark:])
	push := `{"push":{"channel":"ch","pub":{"data":` + string(body) + `,"offset":7,"tags":{"a":"b"},"time":5}}}`
	for _, c := range []struct {
		name, frame, err, position string
		phase                      phase
		delivered, gaps, faults    int
	}{
		{"a push", push, "", "7", live, 1, 0, 0},
		{"the same twice", push + "\n" + push + "\n", "", "7", live, 1, 0, 0},
		{"a push of nothing", `{"push":{"channel":"ch","pub":{"data":{},"offset":8}}}`, "", "8", live, 0, 0, 1},
		{"a subscription", `{"id":2,"subscribe":{"recoverable":true,"epoch":"AbCd","offset":3,"positioned":true}}`, "", "was", dialing, 0, 0, 0},
		{"a recovery", `{"id":2,"subscribe":{"recoverable":true,"epoch":"AbCd","publications":[{"data":` + string(body) +
			`,"offset":4}],"recovered":true,"offset":4,"positioned":true,"was_recovering":true}}`, "", "4", dialing, 1, 0, 0},
		{"no recovery", `{"id":2,"subscribe":{"recoverable":true,"epoch":"AbCd","offset":5,"was_recovering":true}}`, "", "was", dialing, 0, 1, 0},
		{"a second subscription", `{"id":2,"subscribe":{}}`, "unexpected line", "was", live, 0, 0, 0},
		{"an unsubscription", `{"push":{"channel":"ch","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`, "insufficient state", "was", live, 0, 0, 0},
		{"an error", `{"id":2,"error":{"code":103,"message":"permission denied"}}`, "permission denied", "was", dialing, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newLiveSubscriber(t, 0)
			s.run.Peer, s.phase, s.keeps, s.position = Centrifugo, c.phase, true, "was"
			err := s.lines(nil, []byte(c.frame), 0)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
			r := s.run.report
			if s.position != c.position || s.run.delivered != c.delivered || r.Gaps != c.gaps || r.FaultCount != c.faults {
				t.Errorf("position %q, %d delivered, %d gaps, %d faults", s.position, s.run.delivered, r.Gaps, r.FaultCount)
			}
			if c.phase == dialing && c.err == "" && (s.phase != live || s.epoch != "AbCd") {
				t.Errorf("phase %d, epoch %q", s.phase, s.epoch)
			}
		})
	}
}

func TestCommandsOfCentrifugo(t *testing.T) {
	s := subscriber{channels: "abc"}
	const want = `{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"abc"`
	if got := string(s.appendCommands(nil)); got != want+"}}" {
		t.Errorf("%s", got)
	}
	s.epoch, s.position = "AbCd", "3"
	if got := string(s.appendCommands(nil)); got != want+`,"recover":true,"epoch":"AbCd","offset":3}}` {
		t.Errorf("%s", got)
	}
}
