package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// version is the programs of a version.
type version struct {
	dir   string // where they are
	knows func(variable string) bool
}

// use makes p a program of the version from its next start on, without the settings of env that it
// does not know: it would refuse them.
func (v version) use(p *Process, env []string) {
	p.Use(v.dir)
	p.env = slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "PUSHGATE_") && !v.knows(name)
	})
}

// previous builds the edge and the publisher of the previous version, and returns them.
// E2E_PREVIOUS names a revision to use instead. Without it, the test is skipped where the history
// does not have the version, as in a shallow clone.
func previous(t *testing.T) version {
	t.Helper()
	revision, named := os.LookupEnv("E2E_PREVIOUS")
	lack := func(why error) {
		t.Helper()
		if named {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if !named {
		var err error
		if revision, err = previousRevision(); err != nil {
			lack(fmt.Errorf("the previous version is not known: %w", err))
		}
	}
	source := t.TempDir()
	archive := filepath.Join(source, "archive.tar")
	if _, err := git("archive", "--output", archive, revision); err != nil {
		lack(fmt.Errorf("the history does not have the previous version: %w", err))
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	settings, err := os.ReadFile(filepath.Join(source, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	began := time.Now()
	if err := buildAt(source, dir, "", "./cmd/edge", "./cmd/publisher"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the previous version is %s, built in %v", revision, time.Since(began).Round(time.Second))
	return version{dir, func(variable string) bool { return bytes.Contains(settings, []byte("`"+variable+"`")) }}
}

// previousRevision returns the newest version tag that is an ancestor of this commit. As long as
// there is none, testdata/previous names a commit.
func previousRevision() (string, error) {
	tags, err := git("-c", "versionsort.suffix=-", "tag", "--list", "v*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-version:refname")
	if err != nil {
		return "", err
	}
	if tags != "" {
		return strings.Fields(tags)[0], nil
	}
	text, err := os.ReadFile(filepath.Join(Repository(), "e2e/testdata/previous"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line, nil
		}
	}
	return "", errors.New("e2e/testdata/previous names no commit")
}

// git runs git in the repository, and returns what it prints.
func git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", Repository()}, args...)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// twoVersions replaces edges and publishers of this version by those of the previous one, and the
// other way round, so that both serve at the same time in all mixtures. Edges hand over; publishers
// are restarted beside, each when the other one has been there for a moment.
func twoVersions(d *drill) error {
	now := version{bin, func(string) bool { return true }}
	env := map[*Process][]string{}
	for _, p := range slices.Concat(d.Edges, d.Publishers) {
		env[p] = p.env
	}
	var edges, publishers error
	var both sync.WaitGroup
	both.Go(func() {
		for _, step := range []struct {
			edge    int
			version version
		}{{0, d.previous}, {1, d.previous}, {0, now}, {1, now}} {
			p := d.Edges[step.edge]
			step.version.use(p, env[p])
			if edges = errors.Join(p.Succeed(d.ctx), d.pause(500*time.Millisecond)); edges != nil {
				return
			}
		}
	})
	both.Go(func() {
		for _, v := range []version{d.previous, now} {
			for _, p := range d.Publishers {
				v.use(p, env[p])
			}
			if publishers = errors.Join(d.roll(d.Publishers...), d.pause(2200*time.Millisecond)); publishers != nil {
				return
			}
		}
	})
	both.Wait()
	return errors.Join(edges, publishers)
}
