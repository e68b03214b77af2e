// Package adopt reads how the push server that pushgate replaces is set up, and plans the change:
// what is wrong today, what will run, what to run to change and to go back.
package adopt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Options is what to read, and what to write.
type Options struct {
	// Root is "/", or the root of a machine's files elsewhere, or the directory of a compose file
	// or of manifests of Kubernetes.
	Root string
	// OptionsFile has the portal's options, if they are not in a .settings.php below the root: such
	// a file elsewhere, or a dump of the rows of module pull in the table b_option.
	OptionsFile string
	// Out is the directory to write the files of the plan to; empty: nothing is written. It must be
	// new or empty, or have been written by adopt before.
	Out string
	// Random is where a new key comes from; nil: the system.
	Random io.Reader
}

// ErrBroken is the error if there is something to put right before there can be a plan. The plan
// says what.
var ErrBroken = errors.New("there is something to put right first")

// Run prints a plan in plain words, and writes its files if the options say where. It never writes
// anywhere else, and prints no secret: keys are in files that only their owner can read.
//
// What is wrong with the files that it reads is part of the plan. If it is so wrong that there can
// be none, nothing is written, and the error is [ErrBroken].
func Run(ctx context.Context, o Options, stdout io.Writer) error {
	out := &output{}
	if o.Out != "" {
		var err error
		if out, err = openOutput(o.Out); err != nil {
			return err
		}
	}
	fsys, err := openRoot(o.Root)
	if err != nil {
		return fmt.Errorf("the root: %w", err)
	}
	s, err := look(ctx, fsys)
	if err != nil {
		return err
	}
	if o.OptionsFile != "" {
		if err := s.readOptions(o.OptionsFile); err != nil {
			return err
		}
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	p, err := makePlan(s, o.shownOut(s.kind), o.Random, out.key)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, p.text()); err != nil {
		return err
	}
	switch {
	case len(p.broken) > 0:
		return ErrBroken
	case o.Out == "":
		return nil
	}
	if err := out.write(p.files, p.fresh); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nThe files are in %s. Nothing else has been changed.\n", o.Out)
	return nil
}

// openRoot returns the files below a directory. Links that lead out of it are followed only where
// there is no outside.
func openRoot(name string) (fs.FS, error) {
	if filepath.Clean(name) == "/" {
		return os.DirFS("/"), nil
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return root.FS(), nil // closed with the process
}

// shownOut returns the directory of the files as the commands of the plan name it: for compose
// relative to the compose file, as compose wants it.
func (o Options) shownOut(k kind) string {
	if o.Out == "" {
		return "DIR"
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return o.Out
	}
	if root, err := filepath.Abs(o.Root); err == nil && k == compose {
		if inside, err := filepath.Rel(root, out); err == nil && filepath.IsLocal(inside) {
			return "./" + inside
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
