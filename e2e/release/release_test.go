// Package release makes releases in two places and compares them, apart from the other tests,
// because it builds everything.
package release

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pushgate/e2e"
)

// TestReleaseTwice: a release of the same commit is the same to the byte, whoever makes it where;
// and none is made of a tree with changes, or of a version without notes.
func TestReleaseTwice(t *testing.T) {
	if os.Getenv("E2E_RELEASE") == "" {
		t.Skip("E2E_RELEASE is not set: this builds everything twice, with tools that must be built first")
	}
	const version = "0.1.0" // one that the changelog has
	var sums [2]string
	for i := range sums {
		dir := filepath.Join(t.TempDir(), strings.Repeat("x", i+1)) // paths of different lengths
		copyTree(t, dir)
		out := filepath.Join(t.TempDir(), "out")
		env := []string{"RELEASE_ARCHES=amd64", "TZ=" + []string{"UTC", "Asia/Tokyo"}[i], "LANG=" + []string{"C", "C.UTF-8"}[i]}
		if said, err := release(dir, env, version, out); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		sum, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"_amd64.deb", ".x86_64.rpm", "_all.deb", ".noarch.rpm", "-linux-amd64.tar.gz", ".cdx.json", "NOTES.md"} {
			if !strings.Contains(string(sum), suffix+"\n") {
				t.Errorf("no %s in\n%s", suffix, sum)
			}
		}
		sums[i] = string(sum)
		if i > 0 {
			break
		}
		if said, err := release(dir, nil, "9.9.9"); err == nil || !strings.Contains(said, "CHANGELOG.md has no section") {
			t.Errorf("a version without notes: %v\n%s", err, said)
		}
		if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := release(dir, nil, version); err == nil || !strings.Contains(said, "not committed") {
			t.Errorf("a tree with changes: %v\n%s", err, said)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("the first time\n%s\nthe second\n%s", sums[0], sums[1])
	}
}

// release runs scripts/release in dir, and returns what it says.
func release(dir string, env []string, args ...string) (string, error) {
	c := exec.Command(filepath.Join(dir, "scripts/release"), args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	said, err := c.CombinedOutput()
	return string(said), err
}

// copyTree puts the tracked files, as they are now, into a repository of its own, in a commit that
// is the same every time.
func copyTree(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `set -e
git -C "$1" ls-files -z | (cd "$1" && tar --create --null --files-from=- --ignore-failed-read) | tar --extract --directory "$2"
cd "$2"
git init --quiet
git add --all
git -c user.name=test -c user.email=test commit --quiet --message test`
	c := exec.Command("sh", "-c", script, "sh", e2e.Repository(), dir)
	c.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
}
