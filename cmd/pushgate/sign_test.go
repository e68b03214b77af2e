package main

import (
	"os"
	"strings"
	"testing"
)

const (
	exampleKey  = "pushgate-example-key-do-not-use-0123456789"
	exampleIDs  = "6b1f0c2e9a7d4853b0e6f1a2c3d49587:d41c8e2f7b9a40638c15e0f6a7b3d294 0f9e8d7c6b5a49382716051423324150"
	exampleList = "6b1f0c2e9a7d4853b0e6f1a2c3d49587:d41c8e2f7b9a40638c15e0f6a7b3d294.528db5be70001cb1086dbc83a49bb5b685d35b2a" +
		"/0f9e8d7c6b5a49382716051423324150.916cd6d4d2ce72d46bf9610184f01d9db46830de"
)

func TestSign(t *testing.T) {
	for _, test := range []struct {
		name, environ, args string
		code                int
		stdout, stderr      string // stderr: a part of it
	}{
		{"the worked example", "PUSHGATE_KEYS=" + exampleKey, exampleIDs, 0, exampleList + "\n", ""},
		{"the first key signs", "PUSHGATE_KEYS=" + exampleKey + ",another-key-of-enough-bytes", exampleIDs, 0, exampleList + "\n", ""},
		{"no key", "", exampleIDs, 1, "", "PUSHGATE_KEYS: it is not set"},
		{"no ids", "PUSHGATE_KEYS=" + exampleKey, "", 1, "", "no channel id"},
		{"upper case", "PUSHGATE_KEYS=" + exampleKey, strings.ToUpper(exampleIDs), 1, "", "lower-case"},
		{"short key", "PUSHGATE_KEYS=short", exampleIDs, 1, "", "PUSHGATE_KEYS: key 1"},
		{"unknown flag", "PUSHGATE_KEYS=" + exampleKey, "--nope", 2, "", "Usage:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(t.Context(), world{[]string{test.environ}, &stdout, &stderr}, append([]string{"sign"}, strings.Fields(test.args)...))
			if code != test.code || stdout.String() != test.stdout || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
		})
	}
}

func TestUnknownCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"nope"}} {
		var stderr strings.Builder
		if code := run(t.Context(), world{stderr: &stderr}, args); code != 2 || !strings.Contains(stderr.String(), "sign") {
			t.Errorf("%v: code %d, %s", args, code, stderr.String())
		}
	}
}

// TestWorkedExample holds docs/protocol.md to what the program says.
func TestWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{exampleKey, exampleIDs, "\n" + exampleList + "\n"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("docs/protocol.md has no %q", part)
		}
	}
}
