package shell

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/edge"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/internal/testkit/world"
)

// open returns the server at a URL.
func open(t *testing.T, address string) *Server {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	s := Open(u)
	t.Cleanup(s.Close)
	return s
}

// startWorld runs an edge and a publisher over a log in memory.
func startWorld(t *testing.T) (*world.World, *storetest.Memory) {
	t.Helper()
	log := storetest.NewMemory(store.Config{})
	return world.Start(t, testKey, log, log, edge.Config{PollTimeout: time.Minute, PingInterval: time.Second}), log
}

func names(t *testing.T, words ...string) Names {
	t.Helper()
	n, err := ParseNames(words, channel.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// message returns a body with a number, by which it is known again.
func message(n string) []byte {
	return []byte(`{"module_id":"im","command":"message","params":{"n":"` + n + `"}}`)
}

func TestPublish(t *testing.T) {
	w, log := startWorld(t)
	publisher := open(t, w.Publisher.URL)
	minute, transient := time.Minute, time.Duration(0)
	held := func(ids ...channel.ID) []*proto.Message {
		page, err := log.History(t.Context(), ids, proto.ID{})
		if err != nil {
			t.Fatal(err)
		}
		return page.Messages
	}
	to := names(t, one+":"+public, "7")
	mid, err := publisher.Publish(t.Context(), testPortal(), Post{To: to, Body: message("1"), Type: "im_test", Life: &minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []channel.ID{testkit.ParseChannel(one), channel.ForUser(7)} {
		all := held(id)
		if len(all) != 1 || all[0].ID.String() != mid || all[0].Type != "im_test" || all[0].TTL != time.Minute || string(all[0].Body) != string(message("1")) ||
			all[0].Sender.Type != proto.SenderBackend {
			t.Errorf("%v: %v, want %s", id, all, mid)
		}
	}
	// Without a key, two posts of the same body in one second are two messages; with one, they are
	// one.
	to = names(t, digits)
	mids := map[string]bool{}
	for _, post := range []Post{{To: to, Body: message("2")}, {To: to, Body: message("2")}, {To: to, Body: message("3"), Key: "k"}, {To: to, Body: message("3"), Key: "k"},
		{To: to, Body: message("4"), Life: &transient}} {
		mid, err := publisher.Publish(t.Context(), testPortal(), post)
		if err != nil {
			t.Fatal(err)
		}
		mids[mid] = true
	}
	if stored := held(testkit.ParseChannel(digits)); len(mids) != 4 || len(stored) != 3 {
		t.Errorf("%d messages, %d of them stored", len(mids), len(stored))
	}
}

// TestPublishRefused: the error says what the publisher said, and never has a key, a signature or
// an id in it.
func TestPublishRefused(t *testing.T) {
	w, _ := startWorld(t)
	other := &portal.Portal{Signer: testkit.Signer("another key of the tests")}
	redirected := httptest.NewServer(http.RedirectHandler(w.Publisher.URL+apiPath, http.StatusTemporaryRedirect))
	defer redirected.Close()
	second, half := time.Second, 500*time.Millisecond
	for _, c := range []struct {
		what, url string
		portal    *portal.Portal
		post      Post
		want      string
	}{
		{"another key", w.Publisher.URL, other, Post{Body: message("1")}, "4026: Wrong request signature. (PUSHGATE_KEYS"},
		{"an edge", w.Edge.URL, testPortal(), Post{Body: message("1")}, "is it an edge?"},
		{"no object", w.Publisher.URL, testPortal(), Post{Body: []byte("hello")}, "not a JSON object"},
		{"half a second", w.Publisher.URL, testPortal(), Post{Body: message("1"), Life: &half}, "whole seconds"},
		{"too large", w.Publisher.URL, testPortal(), Post{Body: []byte(`{"a":"` + strings.Repeat("x", 5<<20) + `"}`), Life: &second}, "PUSHGATE_MAX_PAYLOAD"},
		{"somebody else", redirected.URL, testPortal(), Post{Body: message("1")}, "307"},
		{"nobody", "http://127.0.0.1:1", testPortal(), Post{Body: message("1")}, "connection refused"},
	} {
		c.post.To = names(t, one)
		mid, err := open(t, c.url).Publish(t.Context(), c.portal, c.post)
		if err == nil || mid != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", c.what, mid, err)
			continue
		}
		for _, secret := range []string{"signature=", one, testKey} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error has %q: %v", c.what, secret, err)
			}
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, w.Publisher.URL).Publish(cancelled, testPortal(), Post{To: names(t, one), Body: message("1")}); err == nil || strings.Contains(err.Error(), "http") {
		t.Errorf("cancelled: %v", err)
	}
}
