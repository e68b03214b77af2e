package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// shellProgram is a command of pushgate that prints messages until it is interrupted.
type shellProgram struct {
	cmd            *exec.Cmd
	stdout, stderr testkit.Buffer
}

// mids returns the ids of what it has printed.
func (p *shellProgram) mids(t *testing.T) (mids []string) {
	t.Helper()
	for line := range strings.Lines(p.stdout.String()) {
		var m struct{ MID string }
		if err := json.Unmarshal([]byte(line), &m); err != nil && strings.HasSuffix(line, "\n") {
			t.Fatalf("%v: %q", err, line)
		}
		mids = append(mids, m.MID)
	}
	return mids
}

// TestShell: while edges and Redis are restarted, "pushgate sub" and "pushgate tail" print what was
// posted, each message once and in order. tail makes nobody online.
func TestShell(t *testing.T) {
	t.Parallel()
	w := Start(t, Options{Bin: bin, Edges: 2, Publishers: 1, AOF: true, Env: []string{"PUSHGATE_DRAIN=100ms"}})
	dir := t.TempDir()
	if err := Build(dir, ".", "./cmd/pushgate"); err != nil {
		t.Fatal(err)
	}
	id := NewChannel()
	env := []string{"PUSHGATE_KEYS=" + Key, "PUSHGATE_REDIS_URL=unix://" + w.Redis.Addr, "PUSHGATE_LISTEN=" + w.Publishers[0].Addr}
	start := func(args ...string) *shellProgram {
		p := &shellProgram{cmd: exec.Command(filepath.Join(dir, "pushgate"), args...)}
		p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, &p.stdout, &p.stderr
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
		return p
	}
	says := func(p *shellProgram, what string, times int) {
		t.Helper()
		testkit.Eventually(t, fmt.Sprintf("%q %d times", what, times), func() bool { return strings.Count(p.stderr.String(), what) >= times })
	}
	online := func(want string) {
		t.Helper()
		testkit.Eventually(t, "online: "+want, func() bool {
			_, answer, err := w.Do(t.Context(), http.MethodGet, "http://"+w.Internal+"/bitrix/pub/?CHANNEL_ID="+id.String(), "")
			return err == nil && strings.Contains(answer, want)
		})
	}
	tail := start("tail", "--json", "user:7", id.String())
	says(tail, "following", 1)
	online(`"infos": []`)
	sub := start("sub", "--json", "--url", "ws://"+w.Public, id.String())
	says(sub, "connected", 1)
	online(`"subscribers":1`)

	var posted []string
	post := func() {
		t.Helper()
		key := fmt.Sprintf("message %d", len(posted)) // a post that failed may have been published
		testkit.Eventually(t, "a post", func() bool {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "pushgate"), "pub", "--key", key, id.String(), `{"module_id":"im","command":"message","params":{}}`)
			cmd.Env = env
			out, err := cmd.Output()
			if err == nil {
				posted = append(posted, strings.TrimSpace(string(out)))
			}
			return err == nil
		})
	}
	for _, edge := range w.Edges {
		post()
		if err := edge.Stop(); err != nil {
			t.Fatal(err)
		}
		post()
		if err := edge.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	says(sub, "closed by the server with 3000", 1)
	if err := w.Redis.Stop(); err != nil {
		t.Fatal(err)
	}
	says(tail, "does not notify", 1)
	if err := w.Redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	post()
	for _, p := range []*shellProgram{sub, tail} {
		testkit.Eventually(t, "all messages", func() bool { return len(p.mids(t)) >= len(posted) })
		began := time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		// On a machine that is not busy it takes less than a second.
		if err := p.cmd.Wait(); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("it ended after %v with %v", time.Since(began), err)
		}
		if got := p.mids(t); strings.Join(got, " ") != strings.Join(posted, " ") {
			t.Errorf("%v: printed %v, want %v\n%s", p.cmd.Args[1], got, posted, p.stderr.String())
		}
		if text := p.stdout.String() + p.stderr.String(); strings.Contains(text, Key) || strings.Contains(text, id.String()) {
			t.Errorf("a secret is printed: %s", text)
		}
	}
}
