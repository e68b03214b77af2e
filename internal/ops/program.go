package ops

import (
	"fmt"
	"io"

	"pushgate/internal/version"
)

// Program runs a program that reads its settings from the environment, and returns its exit code:
// that of run; 0 if args ask for the version or for help, which w gets; 2 if there are other ones.
func Program(name string, args []string, w io.Writer, run func() int) int {
	if len(args) == 0 {
		return run()
	}
	switch args[0] {
	case "--version", "-version", "version":
		fmt.Fprintln(w, name, "version", version.Get())
		return 0
	}
	fmt.Fprintf(w, "usage: %s [--version]\nSettings are environment variables: docs/configuration.md lists them.\n", name)
	if args[0] == "--help" || args[0] == "-h" {
		return 0
	}
	return 2
}
