package e2e

import (
	"os"
	"testing"
)

// bin is where the programs are that TestMain built.
var bin string

func TestMain(m *testing.M) {
	if os.Getenv("E2E_ADOPTED") != "" { // TestAdopted, inside: the programs have been built
		os.Exit(m.Run())
	}
	os.Exit(Main(m, func(dir string) { bin = dir }))
}
