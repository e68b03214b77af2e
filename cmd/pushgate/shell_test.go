package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// devSettings starts "pushgate dev" as a process until the test ends, and returns the settings that
// it prints for other commands.
func devSettings(t *testing.T) (environ []string) {
	t.Helper()
	program := exec.Command(os.Args[0], "dev", "--listen", "127.0.0.1:0")
	program.Env = append(os.Environ(), "TEST_AS_PUSHGATE=1")
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Process.Kill(); program.Wait() })
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if settings, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "export "); ok {
			return strings.Fields(settings)
		}
	}
	t.Fatal("the banner has no settings")
	return nil
}

const shellChannel = "0f9e8d7c6b5a49382716051423324150"

// TestShell: with the settings that "pushgate dev" prints, a message is posted, received and read.
func TestShell(t *testing.T) {
	environ := devSettings(t)
	type result struct {
		code           int
		stdout, stderr string
	}
	call := func(input string, args ...string) result {
		t.Helper()
		var stdout, stderr strings.Builder
		w := world{environ, &stdout, &stderr}
		root := newRoot(w)
		root.SetIn(strings.NewReader(input))
		code := execute(t.Context(), w, root, args)
		return result{code, stdout.String(), stderr.String()}
	}
	var received, said, followed testkit.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 2)
	go func() {
		ended <- run(ctx, world{environ, &received, &said}, []string{"sub", shellChannel + ":d41c8e2f7b9a40638c15e0f6a7b3d294", "--json"})
	}()
	go func() {
		ended <- run(ctx, world{environ, &followed, io.Discard}, []string{"tail", "-n", "0", shellChannel, "user:7"})
	}()
	testkit.Eventually(t, "subscribed", func() bool { return strings.Contains(said.String(), "* connected to 127.0.0.1:") })

	body := `{"module_id":"im","command":"message","params":{"text":"secret words"}}`
	pub := call("", "pub", shellChannel, body, "--life", "60s")
	mid := strings.TrimSpace(pub.stdout)
	if pub.code != 0 || len(mid) != 26 || pub.stderr != "" {
		t.Fatalf("%+v", pub)
	}
	if r := call(body, "pub", "user:7", "-", "--json"); r.code != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("%+v", r)
	}
	if r := call(body, "pub", "-q", "7", "-"); r.code != 0 || r.stdout != "" {
		t.Errorf("%+v", r)
	}
	if r := call("user:7\n"+shellChannel, "tail", "--once", "-"); r.code != 0 || strings.Count(r.stdout, "\n") != 3 || !strings.Contains(r.stdout, mid) ||
		!strings.Contains(r.stdout, "of 1m left") || strings.Contains(r.stdout, "secret words") || strings.Contains(r.stdout, shellChannel) || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if r := call("", "tail", "--once", "--since", mid, "--body", "7", shellChannel); strings.Count(r.stdout, "secret words") != 2 || strings.Contains(r.stdout, mid) {
		t.Errorf("%+v", r)
	}
	testkit.Eventually(t, "both have the message", func() bool {
		return strings.Contains(received.String(), "secret words") && strings.Contains(followed.String(), "im_message")
	})
	interrupt()
	for range 2 {
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("code %d, %s", code, said.String())
			}
		case <-time.After(testkit.Patience):
			t.Fatal("it does not end")
		}
	}
	var line struct{ MID, Type, Body any }
	if err := json.Unmarshal([]byte(received.String()), &line); err != nil || line.MID != mid || line.Type != "im_message" {
		t.Errorf("%v, %q", err, received.String())
	}

	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"pub " + shellChannel, 2, "Usage:"},
		{"pub - {}", 1, "only the body"},
		{"pub " + shellChannel + " hello", 1, "not a JSON object"},
		{"pub " + shellChannel + " {} --url ftp://host", 1, "--url: the scheme is neither"},
		{"pub " + shellChannel + " {} --url http://127.0.0.1:1", 1, "connection refused"},
		{"sub " + shellChannel + " --url unix:relative", 1, "--url: the path of a socket"},
		{"sub " + shellChannel + " --transport carrier-pigeon", 1, "want ws, sse, poll"},
		{"sub " + shellChannel + " --since yesterday", 1, "26 decimal digits"},
		{"sub " + strings.ToUpper(shellChannel), 1, "32 lower-case"},
		{"sub 7 --portal acme", 1, "--portal: "},
		{"tail 7 --since yesterday", 1, "a duration such as 10m"},
		{"tail 7 -n 1000000", 1, "from 0 to 10000"},
		{"tail -", 1, "no channel"},
	} {
		r := call("", strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Contains(strings.ToLower(r.stderr), shellChannel) {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
}

// TestShellSettings: the portal and the address are found in the settings, also in those of the
// server that pushgate replaces.
func TestShellSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "portals.json")
	const client = "fcda45d0859442735f07b8bb5825ded1"
	if err := os.WriteFile(file, []byte(`{"portals":[{"client_id":"`+client+`","keys":["a key of the first portal"]},{"keys":["a key of the other portal"],"host_id":"h"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	many := "PUSHGATE_PORTALS=" + file
	for _, c := range []struct{ environ, portal, name, listen, err string }{
		{"PUSHGATE_KEYS=a key of the tests", "", "default", "", ""},
		{"PUSHGATE_KEYS=a key of the tests", "default", "default", "", ""},
		{"PUSHGATE_KEYS=a key of the tests", client, "", "", "no portal of this client id"},
		{"MODE=pub LISTEN_PORT=80 SECURITY_KEY=a-key-of-the-tests REDIS_HOST=redis", "", "default", "0.0.0.0:80", ""},
		{many, "", "default", "", ""},
		{many, client, client, "", ""},
		{many, "acme", "", "", "no portal of this client id"},
		{"PUSHGATE_LISTEN=127.0.0.1:1", "", "", "", "PUSHGATE_KEYS: it is not set"},
	} {
		environ := strings.Split(c.environ, " ")
		if strings.Contains(c.environ, "a key") {
			environ = []string{c.environ}
		}
		in, err := world{environ: environ}.installation(shellFlags{portal: c.portal})
		name := ""
		if err == nil {
			name = in.portal.Name()
		}
		if name != c.name || err == nil && in.listen != c.listen || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s, portal %q: %q at %q, %v", c.environ, c.portal, name, in.listen, err)
		}
	}
}

// TestReaderGone: a command that prints ends silently when its reader has gone, even if nothing
// comes.
func TestReaderGone(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	reader.Close()
	err = world{stdout: writer}.untilInterrupted(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		_, err := writer.WriteString("more")
		return err
	})
	if err != nil || t.Context().Err() != nil {
		t.Error(err)
	}
}

// TestColors: only on a terminal, and not if the environment says no.
func TestColors(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	for _, c := range []struct {
		out     io.Writer
		environ string
		want    bool
	}{
		{terminal, "", true}, {terminal, "NO_COLOR=1", false}, {terminal, "TERM=dumb", false}, {&strings.Builder{}, "", false},
	} {
		if got := (world{environ: []string{c.environ}, stdout: c.out}).printer(shellFlags{}).Color; got != c.want {
			t.Errorf("%T, %q: %v", c.out, c.environ, got)
		}
	}
}
