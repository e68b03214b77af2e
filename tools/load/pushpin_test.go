//go:build linux

package load

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakePushpin publishes as Pushpin does, which ends the connection with every answer, over a
// backend that subscribes every client.
type fakePushpin struct {
	mu   sync.Mutex
	subs map[string][]*websocket.Conn
}

// ServeHTTP takes posts and subscribers.
func (f *fakePushpin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/sub/"); ok {
		f.subscribe(w, r, name)
		return
	}
	w.Header().Set("Connection", "close")
	var post struct {
		Items []struct {
			Channel string `json:"channel"`
			Formats struct {
				Message struct {
					Content string `json:"content"`
				} `json:"ws-message"`
			} `json:"formats"`
		} `json:"items"`
	}
	if r.URL.Path != "/publish/" || json.NewDecoder(r.Body).Decode(&post) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, item := range post.Items {
		for _, c := range f.subs[item.Channel] {
			c.Write(context.Background(), websocket.MessageText, []byte(item.Formats.Message.Content))
		}
	}
}

func (f *fakePushpin) subscribe(w http.ResponseWriter, r *http.Request, name string) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	f.mu.Lock()
	f.subs[name] = append(f.subs[name], c)
	f.mu.Unlock()
	c.Read(r.Context()) // until the client leaves
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[name] = slices.DeleteFunc(f.subs[name], func(other *websocket.Conn) bool { return other == c })
}

func TestPushpin(t *testing.T) {
	server := httptest.NewServer(&fakePushpin{subs: map[string][]*websocket.Conn{}})
	t.Cleanup(server.Close)
	base := Options{Peer: Pushpin, Sub: []string{server.URL + "/sub/{channel}"}, Pub: []string{server.URL},
		Settle: 10 * time.Millisecond, Patience: 2 * time.Second, Connections: 40, Duration: 300 * time.Millisecond}
	for _, c := range []struct {
		scenario  string
		rate      float64
		delivered int // at least
	}{
		{"connect", 0, 0},
		{"fanout", 50, 15 * 40},
		{"unicast", 200, 60},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			o := base
			o.Scenario, o.Rate = c.scenario, c.rate
			if r := carryOut(t, o); r.Delivered < c.delivered || r.Accepted < r.Posted || r.Connects < 40 {
				t.Errorf("%d delivered, want %d; %d of %d accepted; %d connects", r.Delivered, c.delivered, r.Accepted, r.Posted, r.Connects)
			}
		})
	}
	base.Scenario = "fanout"
	for want, change := range map[string]func(o *Options){
		"pushpin has the form":        func(o *Options) { o.Form = SSE },
		"keeps no messages":           func(o *Options) { o.Scenario = "return" },
		"between two polls":           func(o *Options) { o.Scenario = "poll" },
		"not implemented for pushpin": func(o *Options) { o.Scenario = "mixed" },
		"{channel}":                   func(o *Options) { o.Sub = []string{server.URL} },
		"a post is refused":           func(o *Options) { o.Pub = []string{server.URL + "/elsewhere/"} },
	} {
		o := base
		change(&o)
		if _, err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
