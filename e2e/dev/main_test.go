// Package dev tries "pushgate dev" and "pushgate load" as programs, the page of the former in a
// browser.
package dev

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgate/e2e"
)

// patience is how long a test waits for what should take milliseconds: the machine may be busy.
const patience = time.Minute

// pushgate is the path of the program, which has pushgate-load beside it.
var pushgate string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pushgate-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(e2e.Build(dir, ".", "./cmd/pushgate"), e2e.Build(dir, "tools/load", "./cmd/pushgate-load")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pushgate = filepath.Join(dir, "pushgate")
	return m.Run()
}

// startDev runs "pushgate dev" until the test ends or stop is called, and returns the address of
// its page.
func startDev(t *testing.T, listen string, environ ...string) (url string, stop func()) {
	t.Helper()
	program := exec.Command(pushgate, "dev", "--listen", listen)
	program.Env = append(os.Environ(), environ...)
	program.Stderr = t.Output()
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		// The tests of pushgate dev check how soon and how it ends.
		program.Process.Signal(syscall.SIGINT)
		late := time.AfterFunc(patience, func() { program.Process.Kill() })
		defer late.Stop()
		io.Copy(io.Discard, stdout)
		program.Wait()
	}
	t.Cleanup(stop)
	for lines := bufio.NewScanner(stdout); url == "" && lines.Scan(); {
		url = strings.TrimSuffix(regexp.MustCompile(`http://\S+/$`).FindString(lines.Text()), "/")
	}
	if url == "" {
		t.Fatal("pushgate dev names no address")
	}
	eventually(t, "ready", func() bool {
		code, _ := get(t, url+"/readyz")
		return code == http.StatusOK
	})
	return url, stop
}

// pageConfig is the part of /dev/config that the tests read.
type pageConfig struct {
	ChannelID string `json:"channel_id"` // both channels, signed
	Channels  map[string]struct {
		ID string `json:"id"`
	} `json:"channels"` // "private" and "shared"
	Poll    string `json:"poll"`
	Publish string `json:"publish"`
}

func devConfig(t *testing.T, url string) (config pageConfig) {
	t.Helper()
	_, body := get(t, url+"/dev/config")
	if err := json.Unmarshal([]byte(body), &config); err != nil {
		t.Fatal(fmt.Errorf("/dev/config: %w", err))
	}
	return config
}

// get returns the status and the body of an answer; 0 if there is none, which fails the test.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(text)
}

// post publishes once, but retries if the embedded Redis of a busy machine fails.
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

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %v", what, patience)
		}
	}
}
