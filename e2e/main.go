package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main runs the tests of a package whose worlds need the programs. It builds them, passes their
// directory to use, and returns the exit code. With E2E_RACE in the environment, it builds them
// with the race detector.
func Main(m *testing.M, use func(bin string)) int {
	flag.Parse()
	for _, program := range []string{"redis-server", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "%v; scripts/test installs what these tests need\n", err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "pushgate-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := Build(dir, ".", "./cmd/edge", "./cmd/publisher"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	use(dir)
	return m.Run()
}

// Build builds programs of one module of the repository into dir. The module is named by its
// directory, such as "." or "tools/load".
func Build(dir, module string, packages ...string) error {
	return BuildTags(dir, "", module, packages...)
}

// BuildTags is [Build] with build tags, separated by commas.
func BuildTags(dir, tags, module string, packages ...string) error {
	return buildAt(filepath.Join(Repository(), module), dir, tags, packages...)
}

// buildAt is [BuildTags] for a module at any place.
func buildAt(module, dir, tags string, packages ...string) error {
	args := []string{"build", "-o", dir, "-tags", tags}
	if raceBuilt() {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, packages...)...)
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", build.Dir, err, out)
	}
	return nil
}

// raceBuilt reports whether the environment demands programs with the race detector.
func raceBuilt() bool { return os.Getenv("E2E_RACE") != "" }

// Missing ends a test for which the machine lacks something: skipped, or failed if the environment
// says CI=true.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}
