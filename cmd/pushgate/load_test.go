package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// writeProgram writes a shell script that can be run.
func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestLoadRunsAProgram: the program gets arguments and environment, and its exit code is ours.
func TestLoadRunsAProgram(t *testing.T) {
	dir := t.TempDir()
	writeProgram(t, filepath.Join(dir, loadProgram), `printf '%s,' "$PUSHGATE_KEYS" "$@"; echo trouble >&2; exit 3`)
	program := exec.Command(os.Args[0], "load", "unicast", "--help")
	program.Env = append(os.Environ(), "TEST_AS_PUSHGATE=1", "PUSHGATE_KEYS=a key", "PATH="+dir)
	var stdout, stderr bytes.Buffer
	program.Stdout, program.Stderr = &stdout, &stderr
	err := program.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || stdout.String() != "a key,unicast,--help," || stderr.String() != "trouble\n" {
		t.Errorf("%v, %q, %q", err, &stdout, &stderr)
	}
}

// TestLoadIsNotThere: the error says how to build what is missing.
func TestLoadIsNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stderr bytes.Buffer
	code := run(t.Context(), world{nil, nil, &stderr}, []string{"load", "unicast"})
	for _, want := range []string{"pushgate-load is neither in ", "go build -C tools/load -o ", "./cmd/pushgate-load"} {
		if code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("code %d, %q without %q", code, &stderr, want)
		}
	}
}

func TestFindBeside(t *testing.T) {
	ours, others := t.TempDir(), t.TempDir()
	self := filepath.Join(ours, "pushgate")
	t.Setenv("PATH", others)
	beside, inPath := filepath.Join(ours, "tool"), filepath.Join(others, "tool")
	if path, err := findBeside(self, "tool"); err == nil {
		t.Errorf("found %s", path)
	}
	writeProgram(t, inPath, "")
	if path, err := findBeside(self, "tool"); path != inPath || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	writeProgram(t, beside, "")
	if path, err := findBeside(self, "tool"); path != beside || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	// A tool in the working directory is never run by accident.
	t.Chdir(others)
	t.Setenv("PATH", ".")
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	if path, err := findBeside(self, "tool"); !errors.Is(err, exec.ErrDot) {
		t.Errorf("%s, %v", path, err)
	}
}
