package e2e

import (
	"os"
	"testing"
)

// bin is where the programs are that TestMain built.
var bin string

func TestMain(m *testing.M) { os.Exit(Main(m, func(dir string) { bin = dir })) }
