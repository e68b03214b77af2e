package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

const serveKey = "a key of the tests of serve"

// served is a process that serves, and what it has logged.
type served struct {
	*exec.Cmd
	addr, admin string

	mu    sync.Mutex
	lines strings.Builder
	read  chan struct{} // closed when the log has ended
}

// log returns what the process has logged.
func (s *served) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String()
}

// startServing runs this program with an environment and waits until it serves.
func startServing(t *testing.T, command string, environ ...string) *served {
	t.Helper()
	s := &served{Cmd: exec.Command(os.Args[0], command), read: make(chan struct{})}
	s.Env = append([]string{"TEST_AS_PUSHGATE=1", "PUSHGATE_LISTEN=127.0.0.1:0"}, environ...)
	stderr, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); <-s.read; s.Wait() })
	serving := make(chan [2]string, 1)
	go func() {
		defer close(s.read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Address, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- [2]string{line.Address, line.Admin}
			}
			s.mu.Lock()
			s.lines.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
		}
	}()
	select {
	case at := <-serving:
		s.addr, s.admin = at[0], at[1]
	case <-s.read:
		t.Fatalf("it does not serve: %s", s.log())
	}
	testkit.Eventually(t, "ready", func() bool { return testkit.Get(t, "http://"+s.admin+"/readyz").Status == http.StatusOK })
	return s
}

// end ends the process by SIGTERM and returns how it ended.
func (s *served) end(t *testing.T) error {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.read
	return s.Wait()
}

// TestServe: one process on one port takes subscribers from anywhere and posts from where they are
// allowed, and leaves as an edge does.
func TestServe(t *testing.T) {
	redis := storetest.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
	s := startServing(t, "serve", "PUSHGATE_REDIS_URL="+redis.URL(), "PUSHGATE_KEYS="+serveKey, "PUSHGATE_DRAIN=100ms")
	signer, err := sign.New("sha1", []byte(serveKey))
	if err != nil {
		t.Fatal(err)
	}
	id := randomID()
	list := signer.Sign(channel.Ref{Private: id}).String()

	socket, _, err := websocket.Dial(t.Context(), "ws://"+s.addr+"/bitrix/subws/?CHANNEL_ID="+list, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	polled := make(chan testkit.Answer, 1)
	poll := func() { polled <- testkit.Get(t, "http://"+s.addr+"/bitrix/sub/?CHANNEL_ID="+list) }
	go poll()
	subscribed := func() bool {
		metrics := testkit.Get(t, "http://"+s.admin+"/metrics").Body
		return strings.Contains(metrics, `pushgate_connections{transport="websocket"} 1`) && strings.Contains(metrics, `pushgate_connections{transport="longpoll"} 1`)
	}
	testkit.Eventually(t, "both subscribed", subscribed)

	target := "http://" + s.addr + "/bitrix/pub/?CHANNEL_ID=" + id.String()
	outside := []string{"X-Forwarded-For", "203.0.113.7"}
	for _, c := range []struct {
		what, method, target string
		header               []string
		want                 int
	}{
		{"unsigned, from outside", "POST", target, outside, 403},
		{"statistics, from outside", "GET", "http://" + s.addr + "/server-stat/", outside, 403},
		{"statistics, from here", "GET", "http://" + s.addr + "/server-stat/", nil, 200},
		{"signed, from outside", "POST", target + "&signature=" + signer.SignBody([]byte("hello")), outside, 200},
		{"unsigned, from here", "POST", target, nil, 200},
		{"a subscriber's path", "GET", "http://" + s.addr + "/bitrix/subx/?CHANNEL_ID=" + list, nil, 404},
		{"the admin port's", "GET", "http://" + s.addr + "/metrics", nil, 404},
		{"an ambiguous path", "POST", "http://" + s.addr + "/bitrix/sub/../pub/?CHANNEL_ID=" + id.String(), nil, 404},
	} {
		body := ""
		if c.method == "POST" {
			body = "hello"
		}
		if got := ask(t, c.method, c.target, body, c.header...); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	for range 2 {
		if _, frame, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(frame), "hello") {
			t.Errorf("%q, %v", frame, err)
		}
	}
	if got := <-polled; got.Status != 200 || !strings.Contains(got.Body, "hello") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	testkit.Eventually(t, "a risk", func() bool {
		return strings.Contains(testkit.Get(t, "http://"+s.admin+"/readyz?verbose").Body, "risk of eviction: maxmemory-policy is allkeys-lru")
	})
	metrics := testkit.Get(t, "http://"+s.admin+"/metrics").Body
	for _, want := range []string{`pushgate_redis_risk{risk="eviction"} 1`, `pushgate_redis_risk{risk="persistence"} 1`, "pushgate_build_info{", "pushgate_short_keys 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}

	go poll()
	testkit.Eventually(t, "both subscribed again", subscribed)
	closed := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(context.Background())
		closed <- err
	}()
	if err := s.end(t); err != nil {
		t.Errorf("%v\n%s", err, s.log())
	}
	if err := <-closed; websocket.CloseStatus(err) != 3000 {
		t.Errorf("the WebSocket ended with %v, want a close with 3000", err)
	}
	if got := <-polled; got.Status != http.StatusNotModified {
		t.Errorf("the poll was answered with %d, want 304", got.Status)
	}
	for _, want := range []string{`"msg":"Redis endangers messages","risk":"eviction"`, `"build":{"version":`} {
		if !strings.Contains(s.log(), want) {
			t.Errorf("no %s in %s", want, s.log())
		}
	}
}

// TestStrictDoesNotStart: a program that is told so does not serve over a Redis that evicts, and
// says what to set.
func TestStrictDoesNotStart(t *testing.T) {
	redis := storetest.StartRedis(t, "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes")
	for _, command := range []string{"serve", "edge", "publisher"} {
		program := exec.Command(os.Args[0], command)
		program.Env = []string{"TEST_AS_PUSHGATE=1", "PUSHGATE_LISTEN=127.0.0.1:0", "PUSHGATE_REDIS_URL=" + redis.URL(), "PUSHGATE_KEYS=" + serveKey,
			"PUSHGATE_REDIS_STRICT=true"}
		text, err := program.CombinedOutput()
		if program.ProcessState.ExitCode() != 1 || !strings.Contains(string(text), "set noeviction") || strings.Contains(string(text), `"serving"`) {
			t.Errorf("%s: %v, %s", command, err, text)
		}
	}
	if answer, err := redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction"); answer != "+OK" {
		t.Fatal(answer, err)
	}
	s := startServing(t, "publisher", "PUSHGATE_REDIS_URL="+redis.URL(), "PUSHGATE_KEYS="+serveKey, "PUSHGATE_REDIS_STRICT=true")
	if err := s.end(t); err != nil {
		t.Error(err)
	}
}

// TestShortKeysAreWarnedOf: at each start, where they are allowed at all.
func TestShortKeysAreWarnedOf(t *testing.T) {
	redis := storetest.StartRedis(t)
	s := startServing(t, "publisher", "PUSHGATE_REDIS_URL="+redis.URL(), "PUSHGATE_KEYS=short,"+serveKey, "PUSHGATE_ALLOW_SHORT_KEYS=true")
	if metrics := testkit.Get(t, "http://"+s.admin+"/metrics").Body; !strings.Contains(metrics, "pushgate_short_keys 1") {
		t.Error("they are not counted")
	}
	if err := s.end(t); err != nil {
		t.Error(err)
	}
	if text := s.log(); !strings.Contains(text, "signature keys are too short") || !strings.Contains(text, "signature_key") || strings.Contains(text, serveKey) {
		t.Error(text)
	}
}

// TestServeFollowsTheOriginalsSettings: with the variables of the original's images, "serve" is the
// part that they ask for, and what it cannot follow is refused by name.
func TestServeFollowsTheOriginalsSettings(t *testing.T) {
	redis := storetest.StartRedis(t)
	host, port, err := net.SplitHostPort(redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	theirs := []string{"REDIS_HOST=" + host, "REDIS_PORT=" + port, "SECURITY_KEY=" + serveKey}
	pub := startServing(t, "serve", append(theirs, "MODE=pub")...)
	sub := startServing(t, "serve", append(theirs, "PUSH_SUB_MODE=sub")...)
	id := randomID()
	list := testkit.Signer(serveKey).Sign(channel.Ref{Private: id}).String()
	polled := make(chan testkit.Answer, 1)
	go func() { polled <- testkit.Get(t, "http://"+sub.addr+"/bitrix/sub/?CHANNEL_ID="+list) }()
	testkit.Eventually(t, "subscribed", func() bool {
		return strings.Contains(testkit.Get(t, "http://"+sub.admin+"/metrics").Body, `pushgate_connections{transport="longpoll"} 1`)
	})
	if got := ask(t, "POST", "http://"+pub.addr+"/bitrix/pub?CHANNEL_ID="+id.String(), "hello"); got != http.StatusOK {
		t.Errorf("the post was answered with %d", got)
	}
	if got := <-polled; got.Status != http.StatusOK || !strings.Contains(got.Body, "hello") {
		t.Errorf("the poll was answered with %d %q", got.Status, got.Body)
	}
	if got := ask(t, "GET", "http://"+pub.addr+"/bitrix/sub/?CHANNEL_ID="+list, ""); got != http.StatusNotFound {
		t.Errorf("the publisher answers a subscriber with %d", got)
	}
	refused := exec.Command(os.Args[0], "serve")
	refused.Env = append([]string{"TEST_AS_PUSHGATE=1", "PUB_URI=/elsewhere"}, theirs...)
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "PUB_URI") || strings.Contains(string(out), serveKey) {
		t.Errorf("%v: %s", err, out)
	}
}
