package edge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/sign"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// revokingEdge is an edge of two portals, a and b, on a real Redis.
type revokingEdge struct {
	t      *testing.T
	server *httptest.Server
	stop   func()
}

func startRevokingEdge(t *testing.T, id, redisURL string) *revokingEdge {
	t.Helper()
	client, err := store.Open(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(client, store.Config{})
	limits := portal.Limits{Payload: 1 << 20, Connections: 10}
	table, err := portal.NewTable(&portal.Portal{ClientID: "a", Signer: signer, Limits: limits}, &portal.Portal{ClientID: "b", Signer: signer, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	e := New(Config{ID: id, PollTimeout: 40 * time.Second, PingInterval: 25 * time.Second, Origins: []string{"*"}}, table,
		func(name string) Log { return s.Log(name) }, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Run(ctx)
	}()
	r := &revokingEdge{t: t, server: httptest.NewServer(e.Handler())}
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-ended
			r.server.Close()
			client.Close()
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *revokingEdge) dial(path, query string) *websocket.Conn {
	r.t.Helper()
	conn, _, err := websocket.Dial(r.t.Context(), r.server.URL+path+"?"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// code returns the close code that a connection gets within d; 0 if it stays.
func code(t *testing.T, conn *websocket.Conn, d time.Duration) int {
	t.Helper()
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				return 0
			}
			return int(websocket.CloseStatus(err))
		}
	}
}

func tokenQuery(portal string, user int64, id string) string {
	text := signer.SignToken(sign.Token{User: user, ID: id, Expires: time.Now().Add(time.Hour)}, "", time.Now())
	return url.Values{"clientId": {portal}, "jsonRpc": {"true"}, "token": {text}}.Encode()
}

func listQuery(ids ...channel.ID) string {
	return url.Values{"clientId": {"a"}, "CHANNEL_ID": {signed(ids...)}}.Encode()
}

// TestPutOut: who is put out loses all connections, at every edge, within a second, and gets no new
// one, until that ends.
func TestPutOut(t *testing.T) {
	server := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	one, two := startRevokingEdge(t, "one", server.URL()), startRevokingEdge(t, "two", server.URL())
	client, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	log := store.New(client, store.Config{}).Log("a")
	revokeAll := func(until time.Time, entries ...revoke.Entry) {
		t.Helper()
		for _, entry := range entries {
			if err := log.Revoke(t.Context(), entry, until); err != nil {
				t.Fatal(err)
			}
		}
	}
	user, token := tokenQuery("a", 17, ""), tokenQuery("a", 18, "the session of a tab")
	out := map[string]*websocket.Conn{
		"user at one":    one.dial("/subws/", user),
		"user at two":    two.dial("/subws/", user),
		"token at two":   two.dial("/subws/", token),
		"channel at one": one.dial("/subws/", listQuery(bob, alice)),
	}
	stay := map[string]*websocket.Conn{
		"user of another portal": one.dial("/subws/", tokenQuery("b", 17, "")),
		"another token":          two.dial("/subws/", tokenQuery("a", 18, "another tab")),
		"another channel":        two.dial("/subws/", listQuery(bob)),
	}
	poll := make(chan int, 1)
	go func() {
		if answer, err := http.Get(two.server.URL + "/sub/?" + listQuery(alice)); err == nil {
			answer.Body.Close()
			poll <- answer.StatusCode
		}
	}()
	stream, err := http.Get(one.server.URL + "/bitrix/sse/?" + listQuery(alice))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	time.Sleep(300 * time.Millisecond) // the poll has no sign that it is held

	revokeAll(time.Now().Add(time.Hour), revoke.User(17), revoke.Token(revoke.TokenID("the session of a tab")), revoke.Channel(alice))
	revoked := time.Now()
	for what, conn := range out {
		if got := code(t, conn, time.Until(revoked.Add(time.Second))); got != 4010 {
			t.Errorf("%s: code %d within a second, want 4010", what, got)
		}
	}
	select {
	case status := <-poll:
		if status != proto.ErrWrongChannel.Status() {
			t.Errorf("the held poll: status %d", status)
		}
	case <-time.After(time.Until(revoked.Add(time.Second))):
		t.Error("the poll is held after a second")
	}
	if _, err := io.ReadAll(stream.Body); err != nil || time.Since(revoked) > time.Second {
		t.Errorf("the stream: %v after %v", err, time.Since(revoked))
	}
	for what, conn := range stay {
		if got := code(t, conn, 100*time.Millisecond); got != 0 {
			t.Errorf("%s: code %d", what, got)
		}
	}
	refused := func(when string, at *revokingEdge) {
		t.Helper()
		if got := code(t, at.dial("/subws/", user), 5*time.Second); got != 4010 {
			t.Errorf("%s: code %d for a new connection, want 4010", when, got)
		}
	}
	refused("at once", two)
	one.stop()
	server.Stop()
	server.Start()
	refused("after restarts of Redis and of an edge", startRevokingEdge(t, "three", server.URL()))

	if err := log.Lift(t.Context(), revoke.User(17)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the user is let in again", func() bool {
		return code(t, two.dial("/subws/", user), 100*time.Millisecond) == 0
	})
	revokeAll(time.Now().Add(2*time.Second), revoke.User(17))
	refused("for two seconds", two)
	testkit.Eventually(t, "the user is let in after the end", func() bool {
		return code(t, two.dial("/subws/", user), 100*time.Millisecond) == 0
	})
}

// TestPutOutWhileResubscribing: the connections by which Redis notifies are killed before each
// revocation. Who is put out gets nothing that is published afterwards.
func TestPutOutWhileResubscribing(t *testing.T) {
	server := storetest.StartRedis(t)
	edge := startRevokingEdge(t, "one", server.URL())
	client, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	log := store.New(client, store.Config{}).Log("a")
	for user := range int64(10) {
		conn := edge.dial("/subws/", tokenQuery("a", user+1, ""))
		if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "PUBSUB").Err(); err != nil {
			t.Fatal(err)
		}
		if err := log.Revoke(t.Context(), revoke.User(user+1), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		revoked := time.Now()
		message := &proto.Message{Receivers: []channel.ID{channel.ForUser(user + 1)}, Body: []byte(`{"n":1}`), TTL: time.Hour, Created: revoked}
		if _, err := log.Append(t.Context(), message); err != nil {
			t.Fatal(err)
		}
		// The time that the subscription takes depends on the machine.
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		if _, got, err := conn.Read(ctx); websocket.CloseStatus(err) != 4010 {
			t.Errorf("%q, %v after %v; want 4010 and nothing before", got, err, time.Since(revoked))
		}
		cancel()
		conn.CloseNow()
	}
}
