package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/config"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// TestAdminPortIsNotPublic: the admin port can be reached from this machine only, unless a setting
// explicitly allows more. Its open part is read-only, and the public listener serves none of its
// paths.
func TestAdminPortIsNotPublic(t *testing.T) {
	for _, address := range []string{":9100", "0.0.0.0:9100", "[::]:9100", "10.0.0.1:9100", "192.0.2.1:0", "example.com:9100", "[::ffff:10.0.0.1]:9100", "[fe80::1%lo]:9100"} {
		for _, public := range []bool{false, true} {
			environ := []string{"PUSHGATE_KEYS=" + key, "PUSHGATE_ADMIN_LISTEN=" + address, fmt.Sprint("PUSHGATE_ADMIN_PUBLIC=", public)}
			if _, err := config.LoadEdge(environ); (err == nil) != public {
				t.Errorf("edge, %s, public %v: %v", address, public, err)
			}
			if _, err := config.LoadPublisher(environ); (err == nil) != public {
				t.Errorf("publisher, %s, public %v: %v", address, public, err)
			}
		}
	}
	w := start(t, onePortal(key))
	for _, p := range []program{w.edge, w.publisher} {
		if addr, err := netip.ParseAddrPort(p.admin); err != nil || !addr.Addr().IsLoopback() {
			t.Errorf("the admin port is at %s", p.admin)
		}
		for _, path := range []string{"/metrics", "/readyz", "/livez", "/debug/pprof/", "/admin/whoami", "/admin/login", "/"} {
			if status, _ := w.do("GET", p.addr, path, ""); status != 404 {
				t.Errorf("public %s: %d", path, status)
			}
			if status, _ := w.do("POST", p.admin, path, "x"); status != 404 && status != 405 && path != "/metrics" {
				t.Errorf("POST to the admin port, %s: %d", path, status)
			}
		}
		for path, want := range map[string]int{"/livez": 200, "/debug/pprof/": 404, "/": 404, "/bitrix/pub/": 404, "/bitrix/sub/": 404} {
			if status, _ := w.do("GET", p.admin, path, ""); status != want {
				t.Errorf("admin port, %s: %d", path, status)
			}
		}
	}
}

// expect checks that the next message of a WebSocket contains part.
func (w *world) expect(conn *websocket.Conn, part string) {
	w.t.Helper()
	if frame, err := w.read(conn); err != nil || !strings.Contains(frame, part) {
		w.t.Errorf("%q, %v; want %s", frame, err, part)
	}
}

// TestWhoHasTheListReads shows what a signed list allows: anybody who has it can read its channels,
// from anywhere, at the same time as its owner.
func TestWhoHasTheListReads(t *testing.T) {
	w := start(t, onePortal(key))
	id := madeUp(1)
	list := testkit.Signer(key).Sign(channel.Ref{Private: id}).String()
	var conns []*websocket.Conn
	for _, from := range []string{"198.51.100.7", "203.0.113.9"} {
		conn, err := w.dial("CHANNEL_ID="+list, "X-Forwarded-For", from)
		w.must(err)
		defer conn.CloseNow()
		conns = append(conns, conn)
	}
	w.subscribed(2)
	if status, _ := w.do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+id.String(), "hello"); status != 200 {
		t.Fatal(status)
	}
	for _, conn := range conns {
		w.expect(conn, "hello")
	}
}

// TestWhoHasTheKeyIsThePortal shows what the key allows: to read every channel, to post from
// anywhere, and to pass for any user.
func TestWhoHasTheKeyIsThePortal(t *testing.T) {
	w := start(t, onePortal(key), "PUSHGATE_PUBLISH_SIGNED=true")
	s, id, now := testkit.Signer(key), madeUp(2), time.Now()
	var conns []*websocket.Conn
	for _, query := range []string{"CHANNEL_ID=" + s.Sign(channel.Ref{Private: id}).String(),
		"jsonRpc=true&token=" + s.SignToken(sign.Token{User: 1, Channels: []channel.ID{id}, Expires: now.Add(time.Hour)}, "", now)} {
		conn, err := w.dial(query)
		w.must(err)
		defer conn.CloseNow()
		conns = append(conns, conn)
	}
	w.subscribed(2)
	const body = `{"module_id":"im","command":"by_the_key"}`
	status, _ := w.do("POST", w.publisher.addr, "/bitrix/pub/?CHANNEL_ID="+id.String()+"&signature="+s.SignBody([]byte(body)), body, "X-Forwarded-For", "192.0.2.1")
	if status != 200 {
		t.Fatal(status)
	}
	for _, conn := range conns {
		w.expect(conn, "by_the_key")
	}
}

// TestWhoReachesRedisIsEverybody shows what access to Redis allows: to publish as any portal
// without a key, and to read all that is stored.
func TestWhoReachesRedisIsEverybody(t *testing.T) {
	w := start(t, onePortal(key))
	id := madeUp(3)
	conn, err := w.dial("CHANNEL_ID=" + testkit.Signer(key).Sign(channel.Ref{Private: id}).String())
	w.must(err)
	defer conn.CloseNow()
	w.subscribed(1)
	_, err = store.New(w.rdb, store.Config{}).Log("default").Append(t.Context(), &proto.Message{
		Receivers: []channel.ID{id}, Body: []byte("without any key"), TTL: time.Minute, Created: time.Now()})
	w.must(err)
	w.expect(conn, "without any key")
	keys, err := w.rdb.Keys(t.Context(), "pg:{default}:m:*").Result()
	w.must(err)
	if text, err := w.rdb.Get(t.Context(), keys[0]).Result(); err != nil || !strings.Contains(text, "without any key") {
		t.Errorf("%q, %v", text, err)
	}
	for _, secret := range []string{key, testkit.Signer(key).Sign(channel.Ref{Private: id}).Signature} {
		if dump := w.redis.Dump(); strings.Contains(dump, secret) {
			t.Error("Redis holds a secret that it does not need")
		}
	}
}

// TestTimedPostReachesReadersOnce repeats a post, as anybody who has seen it could.
func TestTimedPostReachesReadersOnce(t *testing.T) {
	w := start(t, onePortal(key), "PUSHGATE_PUBLISH_SIGNED=true", "PUSHGATE_SIGNATURE_WINDOW=1m")
	s, id, now := testkit.Signer(key), madeUp(4), time.Now().Unix()
	conn, err := w.dial("CHANNEL_ID=" + s.Sign(channel.Ref{Private: id}).String())
	w.must(err)
	defer conn.CloseNow()
	w.subscribed(1)
	for i, body := range []string{"first", "first", "second"} {
		signature := s.SignPost(sign.Post{Time: now, Channels: id.String(), Body: []byte(body)})
		query := fmt.Sprintf("?CHANNEL_ID=%s&timestamp=%d&signature=%s", id, now, signature)
		if status, text := w.do("POST", w.publisher.addr, "/bitrix/pub/"+query, body, "Idempotency-Key", fmt.Sprint(i)); status != 200 {
			t.Errorf("%s: %d %s", body, status, text)
		}
		if i == 0 { // read between the posts: two messages could come in one frame
			w.expect(conn, body)
		}
	}
	w.expect(conn, "second")
}

// TestCrossSitePostIsNotPublished posts as a browser on this machine would for a page of another
// site.
func TestCrossSitePostIsNotPublished(t *testing.T) {
	w := start(t, onePortal(key), "PUSHGATE_HOSTS=push.example.com")
	target := "/bitrix/pub/?CHANNEL_ID=" + madeUp(5).String()
	status, text := w.do("POST", w.publisher.addr, target, "hello", "Content-Type", "text/plain", "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site")
	if status != 403 || !strings.HasPrefix(text, "4026") || w.publisher.metric(t, "pushgate_publish_refused_total", "cross_site") != 1 {
		t.Errorf("%d %q", status, text)
	}
	if line := w.raw(w.publisher, "GET /server-stat/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"); !strings.Contains(line, "403") {
		t.Errorf("statistics for another name: %s", line)
	}
	if line := w.raw(w.publisher, "GET /server-stat/ HTTP/1.1\r\nHost: push.example.com\r\nConnection: close\r\n\r\n"); !strings.Contains(line, "200") {
		t.Errorf("statistics for the right name: %s", line)
	}
	if n := w.publisher.metric(t, "pushgate_published_total", ""); n != 0 {
		t.Errorf("%v published", n)
	}
}
