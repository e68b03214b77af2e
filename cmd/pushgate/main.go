// Command pushgate holds the tools around the push server, among them dev, the whole server in one process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// command is one of the program's tools.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, w world, args []string) error
}

// world is what a command may touch of the process that it runs in.
type world struct {
	environ []string // "NAME=value"
	stdout  io.Writer
	stderr  io.Writer
}

func commands() []command {
	return []command{
		{"dev", "run publisher, edge and Redis in one process, with a page to try them on", dev},
		{"sign", "sign channel ids with PUSHGATE_KEYS, as a portal does", signList},
		{"load", "put a push server under load, and check that it loses nothing", runLoad},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, world{os.Environ(), os.Stdout, os.Stderr}, os.Args[1:]))
}

// run returns the exit code: 0, 1 if the command failed, 2 if it was called in a wrong way.
func run(ctx context.Context, w world, args []string) int {
	for _, c := range commands() {
		if len(args) == 0 || args[0] != c.name {
			continue
		}
		err := c.run(ctx, w, args[1:])
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, new(usageError)):
			return 2
		}
		fmt.Fprintf(w.stderr, "pushgate %s: %v\n", c.name, err)
		return 1
	}
	fmt.Fprintln(w.stderr, "usage: pushgate COMMAND [flags]")
	for _, c := range commands() {
		fmt.Fprintf(w.stderr, "  %-8s %s\n", c.name, c.summary)
	}
	return 2
}

// usageError is a wrong call, which the flag set has already explained.
type usageError struct{ error }

// parse reads the flags of a command. Its errors have been printed.
func parse(flags *flag.FlagSet, w world, args []string) error {
	flags.SetOutput(w.stderr)
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return usageError{err}
	}
	return err
}

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
