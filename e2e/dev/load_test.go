package dev

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// load runs "pushgate load" with a key in its environment.
func load(t *testing.T, key string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), pushgate, append([]string{"load"}, args...)...)
	program.Env = append(os.Environ(), "PUSHGATE_KEYS="+key)
	var out, errs bytes.Buffer
	program.Stdout, program.Stderr = &out, &errs
	if err := program.Run(); program.ProcessState == nil {
		t.Fatal(err)
	}
	return program.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestLoadChecksARunningServer(t *testing.T) {
	const key = "a key of the load tests"
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_KEYS="+key)
	dir := t.TempDir()
	results, page := filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "page.html")
	for _, form := range []string{"text", "protobuf"} {
		code, stdout, stderr := load(t, key, "unicast", "--sub", url, "--pub", url, "--form", form, "--connections", "10", "--rate", "100",
			"--duration", "300ms", "--settle", "10ms", "--json", results, "--html", page)
		if code != 0 || !strings.Contains(stdout, "0 lost, 0 doubled, 0 out of order") || !strings.Contains(stdout, "30 delivered") {
			t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || strings.Count(string(text), "<h2>") != 2 {
		t.Errorf("a page of %d bytes, %v", len(text), err)
	}
	if code, stdout, _ := load(t, key, "page", "--json", results, "--html", page); code != 0 || stdout != page+"\n" {
		t.Errorf("code %d, %q", code, stdout)
	}
	// With the key of another portal, no subscriber is accepted.
	code, _, stderr := load(t, "another key than that one", "unicast", "--sub", url, "--pub", url, "--connections", "1", "--duration", "100ms")
	if code != 1 || !strings.Contains(stderr, "4010") {
		t.Errorf("code %d, %q", code, stderr)
	}
}
