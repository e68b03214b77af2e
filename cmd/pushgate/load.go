package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// loadProgram is what "pushgate load" runs. It is a module of its own, tools/load, so that what
// only measures is no part of what ships.
const loadProgram = "pushgate-load"

// newLoad returns the command that runs [loadProgram], which has flags and help of its own.
func newLoad(w world) *cobra.Command {
	return &cobra.Command{
		Use:   "load SCENARIO --sub URL --pub URL [flags]",
		Short: "Put a push server under load, and check that it loses nothing",
		Long: "Put a push server under load, and check that it loses nothing. This runs the program " + loadProgram + ", which lies beside this one or in PATH. " +
			"pushgate load --help lists its scenarios and flags.",
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return runLoad(w, args) },
	}
}

// runLoad replaces this process by [loadProgram], so that signals and the exit code are those of a
// single program. It returns only if that fails.
func runLoad(w world, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := findBeside(self, loadProgram)
	if err != nil {
		return fmt.Errorf("%w\nbuild it, in the root of the sources: go build -C tools/load -o %s ./cmd/%s",
			err, filepath.Dir(self), loadProgram)
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, append([]string{loadProgram}, args...), w.environ))
}

// findBeside returns the path of a program that lies in the directory of self, or else in PATH.
func findBeside(self, name string) (string, error) {
	beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), name))
	if err == nil {
		return beside, nil
	}
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("%s is neither in %s nor in PATH", name, filepath.Dir(self))
	}
	return path, err
}
