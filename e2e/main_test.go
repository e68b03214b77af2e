package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// bin is where the programs are that TestMain built.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
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
	if os.Getenv("E2E_RACE") != "" {
		build = exec.Command("go", "build", "-race", "-o", dir, "./cmd/edge", "./cmd/publisher")
	}
	build.Dir = Repository()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	bin = dir
	return m.Run()
}
