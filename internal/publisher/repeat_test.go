package publisher_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// TestIdempotencyKey repeats a post in every dialect. It is published once. With another key,
// another client or no key, it is another message.
func TestIdempotencyKey(t *testing.T) {
	s := start(t, store.Config{Timeout: inTime})
	signer := testkit.Signer("0123456789abcdef")
	id := testkit.Channel(7)
	const call = `[{"jsonrpc":"2.0","method":"publish","params":{"channelList":["07000000000000000000000000000000"],"body":{"n":1}}},
		{"jsonrpc":"2.0","method":"publish","params":{"channelList":["07000000000000000000000000000000"],"body":{"n":2}}}]`
	post := func(target, body, key string) string {
		t.Helper()
		r := httptest.NewRequest("POST", target, strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:5000"
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		return w.Body.String()
	}
	want := 0
	count := func(what string, more int) {
		t.Helper()
		want += more
		page, err := s.log.History(t.Context(), []channel.ID{id}, proto.ID{})
		if err != nil || len(page.Messages) != want {
			t.Errorf("%s: %d messages, want %d (%v)", what, len(page.Messages), want, err)
		}
	}
	text := "/pub/?CHANNEL_ID=" + id.String()
	api := "/api/?hostId=x&signature=" + signer.SignBody([]byte(call))
	post(text, "a", "k")
	count("first", 1)
	post(text, "a", "k")
	count("again", 0)
	post(text, "a", "l")
	count("another key", 1)
	post(text, "a", "")
	post(text, "a", "")
	count("no key", 2)
	post(text, "a", strings.Repeat("k", 256))
	post(text, "a", strings.Repeat("k", 256))
	count("keys that are too long to compare", 2)
	first := post(api, call, "calls")
	count("calls", 2)
	if again := post(api, call, "calls"); again != first {
		t.Errorf("the answer to a repeated post is %s, want %s", again, first)
	}
	count("calls again", 0)
	done := make(chan struct{})
	for range 10 {
		go func() {
			r := httptest.NewRequest("POST", text, strings.NewReader("at once"))
			r.RemoteAddr = "127.0.0.1:5000"
			r.Header.Set("Idempotency-Key", "at once")
			s.ServeHTTP(httptest.NewRecorder(), r)
			done <- struct{}{}
		}()
	}
	for range 10 {
		<-done
	}
	count("ten at once", 1)
}

// TestKeysOfSendersAreApart: a key belongs to one kind of sender. The post of another kind with the
// same key does not count as repeated.
func TestKeysOfSendersAreApart(t *testing.T) {
	s := start(t, store.Config{Timeout: inTime})
	signer := testkit.Signer("0123456789abcdef")
	id := testkit.Channel(8)
	now := time.Now().Unix()
	const body = `{"n":1}`
	timed := signer.SignPost(sign.Post{Time: now, Channels: id.String(), Body: []byte(body)})
	target := "/pub/?CHANNEL_ID=" + id.String()
	for i, c := range []struct{ name, peer, query, key string }{
		{"unsigned", "127.0.0.1:5000", "", timed},
		{"signed", "192.0.2.1:5000", "&signature=" + signer.SignBody([]byte(body)), timed},
		{"signed with a time", "192.0.2.1:5000", "&signature=" + timed + "&timestamp=" + strconv.FormatInt(now, 10), ""},
	} {
		for range 2 {
			r := httptest.NewRequest("POST", target+c.query, strings.NewReader(body))
			r.RemoteAddr = c.peer
			r.Header.Set("Idempotency-Key", c.key)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			page, err := s.log.History(t.Context(), []channel.ID{id}, proto.ID{})
			if w.Code != http.StatusOK || err != nil || len(page.Messages) != i+1 {
				t.Errorf("%s: %d, and %d messages, want %d (%v)", c.name, w.Code, len(page.Messages), i+1, err)
			}
		}
	}
}
