// Package dev tries "pushgate dev" and "pushgate load" as programs, the page of the former in a
// browser.
package dev

import (
	"bufio"
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
	"pushgate/internal/testkit"
)

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
		late := time.AfterFunc(testkit.Patience, func() { program.Process.Kill() })
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
	testkit.Eventually(t, "ready", func() bool { return testkit.Get(t, url+"/readyz").Status == http.StatusOK })
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
	if err := json.Unmarshal([]byte(testkit.Get(t, url+"/dev/config").Body), &config); err != nil {
		t.Fatal(fmt.Errorf("/dev/config: %w", err))
	}
	return config
}
