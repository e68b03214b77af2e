// Command pushgate-load puts a push server under load and fails if the server was not correct.
//
// It is what "pushgate load" runs.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"pushgate/tools/load"
)

// arguments are those of the command line that are not options of the run.
type arguments struct {
	load.Options
	key        string
	quick      bool
	quiet      bool
	json, html string
	goals      string
}

// world is the part of the process that the program uses.
type world struct {
	environ []string // "NAME=value"
	stdout  io.Writer
	stderr  io.Writer
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

// usageError is an error of the command line, which the flag set has already explained.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, world{os.Environ(), os.Stdout, os.Stderr}, os.Args[1:]))
}

// run returns the exit code: 0, 1 if the run failed, 2 if the command line was wrong.
func run(ctx context.Context, w world, args []string) int {
	err := runLoad(ctx, w, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(usageError)):
		return 2
	}
	fmt.Fprintf(w.stderr, "pushgate load: %v\n", err)
	return 1
}

// runLoad carries out what args say. Its error is nil only if the server was correct.
func runLoad(ctx context.Context, w world, args []string) error {
	var a arguments
	flags := a.flags()
	flags.SetOutput(w.stderr)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		a.Scenario, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	switch {
	case a.Scenario == "" && flags.NArg() == 1:
		a.Scenario = flags.Arg(0)
	case a.Scenario == "" || flags.NArg() > 0:
		flags.Usage()
		return usageError{errors.New("exactly one scenario is required")}
	}
	switch a.Scenario {
	case "page":
		return writePage(w, a)
	case "compare":
		return compare(w, a)
	}
	if err := a.sign(w); err != nil {
		return err
	}
	if a.quick {
		a.Quicken()
	}
	progress := w.stderr
	if a.quiet {
		progress = nil
	}
	report, err := load.Run(ctx, a.Options, progress)
	if err != nil {
		return err
	}
	report.Write(w.stdout)
	if err := a.save(report); err != nil {
		return err
	}
	return report.Correct()
}

// signatureKey returns the key of the command line, or the first one of PUSHGATE_KEYS.
func (a *arguments) signatureKey(w world) string {
	first, _, _ := strings.Cut(w.getenv("PUSHGATE_KEYS"), ",")
	return cmp.Or(a.key, first)
}

// sign sets the signer, for servers whose channels are signed.
func (a *arguments) sign(w world) error {
	if !a.Peer.Signs() {
		return nil
	}
	key := a.signatureKey(w)
	if key == "" {
		return errors.New("no signature key: set PUSHGATE_KEYS or use --key")
	}
	signer, err := load.NewSigner(cmp.Or(w.getenv("PUSHGATE_SIGNATURE_ALGO"), "sha1"), key)
	a.Signer = signer
	return err
}

// save writes the requested files.
func (a *arguments) save(report *load.Report) error {
	if a.json != "" {
		line, err := json.Marshal(report)
		if err != nil {
			return err
		}
		file, err := os.OpenFile(a.json, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.Write(append(line, '\n'))
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		if a.html == "" {
			return nil
		}
		return a.page()
	}
	return a.write([]*load.Report{report})
}

// page writes the page of all runs of the JSON file.
func (a *arguments) page() error {
	reports, err := readFile(a.json, load.ReadReports)
	if err != nil {
		return err
	}
	return a.write(reports)
}

// readFile reads a whole file.
func readFile[T any](name string, read func(io.Reader) (T, error)) (t T, err error) {
	file, err := os.Open(name)
	if err != nil {
		return t, err
	}
	defer file.Close()
	if t, err = read(file); err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (a *arguments) write(reports []*load.Report) error {
	if a.html == "" {
		return nil
	}
	file, err := os.Create(a.html)
	if err != nil {
		return err
	}
	return errors.Join(load.WritePage(file, reports), file.Close())
}

func writePage(w world, a arguments) error {
	if a.json == "" || a.html == "" {
		return errors.New("page needs --json (the input) and --html (the output)")
	}
	if err := a.page(); err != nil {
		return err
	}
	_, err := io.WriteString(w.stdout, a.html+"\n")
	return err
}

func compare(w world, a arguments) error {
	if a.json == "" || a.goals == "" {
		return errors.New("compare needs --json (the runs) and --goals (the lines)")
	}
	reports, err := readFile(a.json, load.ReadReports)
	if err != nil {
		return err
	}
	goals, err := readFile(a.goals, load.ReadGoals)
	if err != nil {
		return err
	}
	load.Compare(w.stdout, goals, reports)
	return nil
}
