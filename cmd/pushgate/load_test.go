//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs the program with a key in its environment.
func call(t *testing.T, key string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), world{[]string{"PUSHGATE_KEYS=" + key}, &out, &errs}, args)
	return code, out.String(), errs.String()
}

func TestLoadChecksARunningServer(t *testing.T) {
	const key = "a key of the load tests"
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_KEYS="+key)
	dir := t.TempDir()
	results, page := filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "page.html")
	for _, form := range []string{"text", "protobuf"} {
		code, stdout, stderr := call(t, key, "load", "unicast", "--sub", url, "--pub", url, "--form", form, "--connections", "10", "--rate", "100",
			"--duration", "300ms", "--settle", "10ms", "--json", results, "--html", page)
		if code != 0 || !strings.Contains(stdout, "0 lost, 0 doubled, 0 out of order") || !strings.Contains(stdout, "30 delivered") {
			t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || strings.Count(string(text), "<h2>") != 2 {
		t.Errorf("a page of %d bytes, %v", len(text), err)
	}
	if code, stdout, _ := call(t, key, "load", "page", "--json", results, "--html", page); code != 0 || stdout != page+"\n" {
		t.Errorf("code %d, %q", code, stdout)
	}
	// With the key of another portal nobody gets in.
	code, _, stderr := call(t, "another key than that one", "load", "unicast", "--sub", url, "--pub", url, "--connections", "1", "--duration", "100ms")
	if code != 1 || !strings.Contains(stderr, "4010") {
		t.Errorf("code %d, %q", code, stderr)
	}
}

func TestLoadIsCalledWrongly(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"load", 2, "usage: pushgate load SCENARIO"},
		{"load --help", 0, "fanout"},
		{"load fanout --rate 0", 2, "above zero, or max"},
		{"load fanout --sources x", 2, "sources"},
		{"load fanout unicast", 2, "usage"},
		{"load nothing --sub x --pub y", 1, `no scenario "nothing"`},
		{"load page", 1, "page needs --json"},
		{"load fanout --key short --sub x --pub y", 1, "PUSHGATE_KEYS"},
	} {
		code, _, stderr := call(t, "a key of the load tests", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: code %d, %q", c.args, code, stderr)
		}
	}
}
