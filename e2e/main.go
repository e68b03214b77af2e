package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Main runs the tests of a package whose worlds need the programs: it builds them, tells use their directory, and gives the code to
// exit with. E2E_RACE in the environment builds them with the race detector.
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
	build := exec.Command("go", "build", "-o", dir, "./cmd/edge", "./cmd/publisher")
	if raceBuilt() {
		build = exec.Command("go", "build", "-race", "-o", dir, "./cmd/edge", "./cmd/publisher")
	}
	build.Dir = Repository()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	use(dir)
	return m.Run()
}

// raceBuilt reports whether the programs have the race detector in them, by the environment's will.
func raceBuilt() bool { return os.Getenv("E2E_RACE") != "" }

// Missing ends a test for which the machine lacks something: skipped, or failed if the environment says CI=true.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}
