// Command pushgate is the whole push server, and the tools around it, as sub-commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// world is what a command may touch of the process that it runs in.
type world struct {
	environ []string // "NAME=value"
	stdout  io.Writer
	stderr  io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, world{os.Environ(), os.Stdout, os.Stderr}, arguments(os.Args)))
}

// run returns the exit code: 0, 1 if the command failed, 2 if it was called in a wrong way. A
// program that serves may have others.
func run(ctx context.Context, w world, args []string) int { return execute(ctx, w, newRoot(w), args) }

// execute runs a command line. Its exit code is that of run.
func execute(ctx context.Context, w world, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var code exitCode
	var failed failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &failed):
		fmt.Fprintf(w.stderr, "%s: %v\n", command.CommandPath(), failed.error)
		return 1
	}
	fmt.Fprintf(w.stderr, "%s: %v\n%s", command.CommandPath(), err, command.UsageString())
	return 2
}

// exitCode is the end of a program that has said everything itself.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// failure is an error of a command that was called in the right way.
type failure struct{ error }

// getenv returns the value of an environment variable, empty if it is not set.
func (w world) getenv(name string) string {
	value := ""
	for _, pair := range w.environ { // the last one counts, as for os/exec
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
