package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/leaktest"
)

// TestMain lets the test binary be the program itself, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_PUSHGATE") != "" {
		main()
		return
	}
	leaktest.Main(m)
}

// startDev serves on an address until the test ends or stop is called.
func startDev(t *testing.T, listen string, environ ...string) (url string, stop func()) {
	t.Helper()
	server, err := newDevServer("", environ, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- server.serve(ctx, listen, func(address string) { started <- address })
		server.close()
		close(served)
	}()
	stop = func() {
		cancel()
		for err := range served {
			// How soon it ends is for TestInterrupt; that it ends is seen by what is left over.
			if err != nil && !strings.Contains(err.Error(), "still running") {
				t.Errorf("serve: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	select {
	case address := <-started:
		url = "http://" + address
	case err := <-served:
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return get(t, url+"/readyz").code == http.StatusOK })
	return url, stop
}

func TestPageShowsDelivery(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.waitState("poll", "held")
	p.waitState("sleeper", "open")

	p.publish("Good morning, everybody", 60)
	mid := ""
	for _, column := range []string{"ws", "poll", "sleeper"} {
		c := p.waitCard(column, "Good morning, everybody", "live")
		if !regexp.MustCompile(`^\d{26}$`).MatchString(c.MID) || !regexp.MustCompile(`^(\d+\.\d ms|after \d+\.\d s)$`).MatchString(c.Age) || c.Type != "im_message" || c.Channel != "private" {
			t.Errorf("%s shows %+v", column, c)
		}
		if mid != "" && c.MID != mid {
			t.Errorf("%s shows id %s, another column %s", column, c.MID, mid)
		}
		mid = c.MID
		if shown := p.text("#" + column + "-mid"); shown != mid {
			t.Errorf("%s shows last mid %s, want %s", column, shown, mid)
		}
	}
	p.wait("document.querySelector('#count-published').textContent === '1'")
	p.wait("document.querySelector('#count-delivered').textContent === '3'")
	p.wait("document.querySelector('#count-websockets').textContent === '2'")

	p.click("#channel-shared + span")
	p.publish("To all of the portal", 60)
	if c := p.waitCard("ws", "To all of the portal", "live"); c.Channel != "shared" {
		t.Errorf("shared message shown as %+v", c)
	}
	p.waitCard("poll", "To all of the portal", "live")
	p.check()
}

// TestPageKeepsPolling has polls end all the time, with 304 until the first message: what is published between two of them must
// be neither lost nor doubled.
func TestPageKeepsPolling(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_POLL_TIMEOUT=100ms")
	config := devConfig(t, url)
	post(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "60", "{}")
	p := openTab(t, url)
	p.wait(`/^\d{26}$/.test(document.querySelector('#poll-mid').textContent)`) // which only a 304 can have told
	if got := p.cards("poll"); len(got) > 0 {
		t.Errorf("without a mid the poll column got %v", got)
	}
	var want []string
	for i := range 30 {
		text := fmt.Sprintf("number %d", i)
		want = append([]string{text}, want...)
		post(t, config.Publish+"?CHANNEL_ID="+config.Channels["shared"].ID, "60", `{"module_id":"im","command":"message","params":{"text":"`+text+`"}}`)
	}
	p.wait("document.querySelectorAll('#poll-messages li').length >= 30")
	var got []string
	for _, c := range p.cards("poll") {
		got = append(got, c.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the poll column shows %q", got)
	}
	p.check()
}

func TestPageWakesSleeper(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.waitState("poll", "held")
	p.waitState("sleeper", "open")
	p.publish("Before the nap", 60)
	cursor := p.waitCard("sleeper", "Before the nap", "live").MID

	p.click("#sleep")
	p.waitState("sleeper", "asleep")
	p.publish("Lunch at one?", 60)
	p.publish("Anna is typing …", 1)
	p.publish("See you there", 3600)
	p.waitCard("sleeper", "Lunch at one?", "waiting")
	p.waitCard("sleeper", "Anna is typing …", "expired")
	p.waitCard("sleeper", "See you there", "waiting")
	config := devConfig(t, url)
	eventually(t, "the log has forgotten the short one", func() bool {
		return !strings.Contains(get(t, config.Poll+"?CHANNEL_ID="+config.ChannelID+"&mid="+cursor).body, "typing")
	})

	p.click("#sleep")
	p.wait("document.querySelector('#sleeper-note').textContent === 'Awake. 2 replayed, 1 had expired.'")
	p.screenshots()
	type shown struct{ text, state string }
	var got []shown
	for _, c := range p.cards("sleeper") {
		got = append(got, shown{c.Text, c.State})
	}
	want := []shown{{"See you there", "replayed"}, {"Anna is typing …", "expired"}, {"Lunch at one?", "replayed"}, {"Before the nap", "live"}}
	if !slices.Equal(got, want) {
		t.Errorf("the sleeper shows %v, want %v", got, want)
	}
	p.publish("Awake again", 60)
	p.waitCard("sleeper", "Awake again", "live")
	p.check()
}

func TestPageCopiesWorkingCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.allowClipboard()
	p.waitState("ws", "open")
	p.waitState("poll", "held")

	const text = `It's "quoted" \ $HOME – ünïcode`
	p.fill(text, 60)
	p.click("#copy-publish")
	p.wait("document.querySelector('#copy-publish').textContent === 'Copied'")
	line := p.clipboard()
	if out, err := exec.Command("sh", "-c", strings.Replace(line, "curl", curl+" -sSf", 1)).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	p.waitCard("ws", text, "live")
	p.waitCard("poll", text, "live")

	p.click("#copy-subscribe")
	p.wait("document.querySelector('#copy-subscribe').textContent === 'Copied'")
	listen := exec.Command("sh", "-c", "exec "+strings.Replace(p.clipboard(), "curl", curl+" -sSf", 1))
	var answer strings.Builder
	listen.Stdout, listen.Stderr = &answer, &answer
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait("document.querySelector('#count-polls').textContent === '2'")
	p.publish("For curl, too", 60)
	if err := listen.Wait(); err != nil || !strings.Contains(answer.String(), "For curl, too") {
		t.Errorf("curl: %v: %s", err, &answer)
	}
	p.check()
}

func TestPageTellsTrouble(t *testing.T) {
	url, stop := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.publish(strings.Repeat("x", 1<<20), 60)
	if status := p.text("#send-status"); status != "refused with 413" {
		t.Errorf("a body that is too large: %q", status)
	}
	p.wait("document.querySelector('#problems').textContent.includes('413')")

	// Another server at the same address, with other keys: the page must fetch its ids anew, as after every 4010.
	stop()
	p.wait("document.body.classList.contains('unreachable')")
	startDev(t, strings.TrimPrefix(url, "http://"))
	p.waitState("ws", "open")
	p.wait("!document.body.classList.contains('unreachable')")
	p.waitState("poll", "held")
	p.wait("document.querySelector('#count-websockets').textContent === '2'")
	p.publish("After the restart", 60)
	p.waitCard("ws", "After the restart", "live")
	p.waitCard("poll", "After the restart", "live")
}

func TestPagePolicy(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	for _, path := range []string{"/", "/dev/page.js", "/dev/protocol.js", "/dev/page.css", "/dev/icon.svg", "/dev/config", "/dev/status"} {
		answer := get(t, url+path)
		if answer.code != http.StatusOK || answer.header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: %d, policy %q", path, answer.code, answer.header.Get("Content-Security-Policy"))
		}
	}
	if answer := get(t, url+"/other"); answer.code != http.StatusNotFound {
		t.Errorf("/other: %d", answer.code)
	}
}

// TestInterrupt starts the program as a process of its own, with subscribers on both transports, and presses Ctrl-C.
func TestInterrupt(t *testing.T) {
	for try := 1; ; try++ {
		took, err := interrupt(t)
		if err == nil && took < 4*time.Second { // net/http would wait five for the spare connection
			return
		}
		if try == 3 { // a busy machine may be late once
			t.Fatalf("the program ended after %v with %v", took, err)
		}
	}
}

// interrupt gives how long the program took to end, and how it did.
func interrupt(t *testing.T) (took time.Duration, ended error) {
	t.Helper()
	program := exec.Command(os.Args[0], "dev", "--listen", "127.0.0.1:0")
	program.Env = append(os.Environ(), "TEST_AS_PUSHGATE=1")
	program.Stderr = t.Output()
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Process.Kill(); program.Wait() })
	var url string
	for lines := bufio.NewScanner(stdout); url == "" && lines.Scan(); {
		url = strings.TrimSuffix(regexp.MustCompile(`http://\S+/$`).FindString(lines.Text()), "/")
	}
	if url == "" {
		t.Fatal("the banner names no address")
	}
	eventually(t, "ready", func() bool { return get(t, url+"/readyz").code == http.StatusOK })

	config := devConfig(t, url)
	socket, _, err := websocket.Dial(t.Context(), config.WebSocket+"?CHANNEL_ID="+config.ChannelID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	closed := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(context.Background())
		closed <- err
	}()
	polled := make(chan int, 1)
	go func() { polled <- get(t, config.Poll+"?CHANNEL_ID="+config.ChannelID).code }()
	eventually(t, "both subscribed", func() bool {
		var status pageStatus
		err := json.Unmarshal([]byte(get(t, url+"/dev/status").body), &status)
		return err == nil && status.WebSockets == 1 && status.Polls == 1
	})

	spare, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) // browsers open one ahead of its use
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()

	start := time.Now()
	if err := program.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, stdout)
	ended = program.Wait()
	took = time.Since(start)
	if err := <-closed; websocket.CloseStatus(err) != 3000 {
		t.Errorf("the WebSocket ended with %v, want a close with 3000", err)
	}
	if code := <-polled; code != http.StatusNotModified {
		t.Errorf("the poll was answered with %d, want 304", code)
	}
	return took, ended
}

func TestMessagesExpire(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	config := devConfig(t, url)
	post(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "3", `{"n":"short"}`)
	post(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "3600", `{"n":"long"}`)
	history := config.Poll + "?CHANNEL_ID=" + config.ChannelID + "&mid=" + strings.Repeat("0", 26)
	// The answer to a post says that it is in the log: the edge, which keeps what is recent, may hear of it a moment later.
	eventually(t, "both in the log", func() bool {
		body := get(t, history).body
		return strings.Contains(body, "short") && strings.Contains(body, "long")
	})
	eventually(t, "the short one has expired", func() bool { return !strings.Contains(get(t, history).body, "short") })
	if body := get(t, history).body; !strings.Contains(body, "long") {
		t.Errorf("later the log has %s", body)
	}
}

// TestStatisticsTellOfBoth: of the edge and of the publisher, which are one process here and two elsewhere.
func TestStatisticsTellOfBoth(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_ID=here")
	eventually(t, "in the statistics", func() bool {
		var processes []struct {
			PID             int
			ProcessUniqueID string
			Limits          map[string]int
			Daily           map[string]map[string]int
		}
		body := get(t, url+"/server-stat/").body
		if err := json.Unmarshal([]byte(body), &processes); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return len(processes) == 2 && processes[0].ProcessUniqueID == "here" && processes[1].ProcessUniqueID == "here-publisher" &&
			processes[0].PID == os.Getpid() && processes[0].Limits["maxConnPerChannel"] == 100 &&
			processes[1].Limits["maxPayload"] == 1<<20 && processes[1].Daily["messages"] != nil
	})
}

type answer struct {
	code   int
	header http.Header
	body   string
}

func get(t *testing.T, url string) answer {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// post publishes once, however often the embedded Redis of a busy machine must be asked.
func post(t *testing.T, url, expiry, body string) {
	t.Helper()
	key := rand.Text()
	eventually(t, "published", func() bool {
		request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Message-Expiry", expiry)
		request.Header.Set("Idempotency-Key", key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("publishing was answered with %s", response.Status)
		}
		return response.StatusCode == http.StatusOK
	})
}

func devConfig(t *testing.T, url string) (config pageConfig) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, url+"/dev/config").body), &config); err != nil {
		t.Fatal(fmt.Errorf("/dev/config: %w", err))
	}
	return config
}

// eventually waits until what is described has been reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %v", what, patience)
		}
	}
}
