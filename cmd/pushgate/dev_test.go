package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/testkit"
)

// TestMain lets the test binary be the program itself, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_PUSHGATE") != "" {
		main()
		return
	}
	testkit.Main(m)
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
	testkit.Eventually(t, "ready", func() bool { return testkit.Get(t, url+"/readyz").Status == http.StatusOK })
	return url, stop
}

func TestPagePolicy(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	for _, path := range []string{"/", "/dev/page.js", "/dev/protocol.js", "/dev/page.css", "/dev/icon.svg", "/dev/config", "/dev/status"} {
		answer := testkit.Get(t, url+path)
		if answer.Status != http.StatusOK || answer.Header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s: %d, policy %q", path, answer.Status, answer.Header.Get("Content-Security-Policy"))
		}
	}
	if answer := testkit.Get(t, url+"/other"); answer.Status != http.StatusNotFound {
		t.Errorf("/other: %d", answer.Status)
	}
}

// TestInterrupt starts the program as a process of its own, with subscribers on both transports,
// and presses Ctrl-C.
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

// interrupt returns how long the program took to end, and how it did.
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
	testkit.Eventually(t, "ready", func() bool { return testkit.Get(t, url+"/readyz").Status == http.StatusOK })

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
	go func() { polled <- testkit.Get(t, config.Poll+"?CHANNEL_ID="+config.ChannelID).Status }()
	testkit.Eventually(t, "both subscribed", func() bool {
		var status pageStatus
		err := json.Unmarshal([]byte(testkit.Get(t, url+"/dev/status").Body), &status)
		return err == nil && status.WebSockets == 1 && status.Polls == 1
	})

	// Browsers open one ahead of its use.
	spare, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
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
	testkit.Publish(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "3", `{"n":"short"}`)
	testkit.Publish(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "3600", `{"n":"long"}`)
	history := config.Poll + "?CHANNEL_ID=" + config.ChannelID + "&mid=" + strings.Repeat("0", 26)
	// The answer to a post says that it is in the log: the edge, which keeps what is recent, may
	// hear of it a moment later.
	testkit.Eventually(t, "both in the log", func() bool {
		body := testkit.Get(t, history).Body
		return strings.Contains(body, "short") && strings.Contains(body, "long")
	})
	testkit.Eventually(t, "the short one has expired", func() bool { return !strings.Contains(testkit.Get(t, history).Body, "short") })
	if body := testkit.Get(t, history).Body; !strings.Contains(body, "long") {
		t.Errorf("later the log has %s", body)
	}
}

// TestStatisticsTellOfBoth: of the edge and of the publisher, which are one process here and two
// elsewhere.
func TestStatisticsTellOfBoth(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_ID=here")
	testkit.Eventually(t, "in the statistics", func() bool {
		var processes []struct {
			PID             int
			ProcessUniqueID string
			Limits          map[string]int
			Daily           map[string]map[string]int
		}
		body := testkit.Get(t, url+"/server-stat/").Body
		if err := json.Unmarshal([]byte(body), &processes); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return len(processes) == 2 && processes[0].ProcessUniqueID == "here" && processes[1].ProcessUniqueID == "here-publisher" &&
			processes[0].PID == os.Getpid() && processes[0].Limits["maxConnPerChannel"] == 100 &&
			processes[1].Limits["maxPayload"] == 1<<20 && processes[1].Daily["messages"] != nil
	})
}

func devConfig(t *testing.T, url string) (config pageConfig) {
	t.Helper()
	if err := json.Unmarshal([]byte(testkit.Get(t, url+"/dev/config").Body), &config); err != nil {
		t.Fatal(fmt.Errorf("/dev/config: %w", err))
	}
	return config
}
