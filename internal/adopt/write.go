package adopt

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// marker is the file by which a directory is known to be written by adopt: a line for each file.
const marker = ".pushgate-adopt"

// freshLine is in the marker if the key is new.
const freshLine = "# the key is new"

// output is a directory to write to.
type output struct {
	dir    string
	before []string // files that were written the last time
	key    string   // that was made the last time, empty if none was
}

// openOutput checks that a directory may be written to: that it is not there, or only its owner can
// write to it, who runs adopt, and it is empty or was written by adopt.
func openOutput(dir string) (*output, error) {
	o := &output{dir: dir}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, o.unwritable(err)
	}
	defer root.Close()
	if err := o.own(root); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, o.unwritable(err)
	}
	if len(entries) == 0 {
		return o, nil
	}
	text, err := root.ReadFile(marker)
	if err != nil {
		return nil, fmt.Errorf("%s is not empty, and adopt has not written what is in it. Name a new directory", dir)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && filepath.IsLocal(line) {
			o.before = append(o.before, line)
		}
	}
	if bytes.Contains(text, []byte(freshLine)) {
		o.key = oldKey(root)
	}
	return o, nil
}

func (o *output) unwritable(err error) error {
	return fmt.Errorf("%s cannot be written to: %s. Name another directory", o.dir, reason(err))
}

// own returns an error if somebody else can change what is in the directory. They could replace the
// files before they are installed, and root installs them.
func (o *output) own(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return o.unwritable(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user, who could change what is written there. Name a new directory", o.dir)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("every user can write to %s, and could change what is written there. Name a new directory", o.dir)
	}
	return nil
}

var writtenKey = regexp.MustCompile(`"?(?:keys|PUSHGATE_KEYS)"?[:=]\s*\[?\s*"?([A-Za-z0-9]{40})"?`)

// oldKey returns the key that was made the last time, so that it is the same again.
func oldKey(root *os.Root) string {
	for _, name := range []string{"portals.json", "secret.env", "kubernetes/secret.yaml"} {
		if text, err := root.ReadFile(name); err == nil {
			if match := writtenKey.FindSubmatch(text); match != nil {
				return string(match[1])
			}
		}
	}
	return ""
}

// write writes files, and removes those of the last time that are not among them. Each appears
// whole, and below the directory, even if it has links.
func (o *output) write(files []file, fresh bool) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := o.own(root); err != nil { // it may have been made just now, by somebody else
		return err
	}
	list := "# Written by \"pushgate adopt\", which may replace these files.\n"
	if fresh {
		list += freshLine + "\n"
	}
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		list += f.name + "\n"
	}
	// All that may be there, so that a run that was interrupted can be repeated.
	both := list
	for _, name := range o.before {
		if !slices.Contains(names, name) {
			both += name + "\n"
		}
	}
	if err := o.writeFile(root, file{marker, 0o644, []byte(both)}); err != nil {
		return err
	}
	for _, f := range files {
		if err := root.MkdirAll(path.Dir(f.name), 0o700); err != nil {
			return err
		}
		if err := o.writeFile(root, f); err != nil {
			return err
		}
	}
	for _, name := range o.before {
		if !slices.Contains(names, name) {
			if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return o.writeFile(root, file{marker, 0o644, []byte(list)})
}

// writeFile writes a file beside its place, and renames it.
func (o *output) writeFile(root *os.Root, file file) error {
	name := path.Join(path.Dir(file.name), ".new-"+rand.Text())
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer root.Remove(name) // which fails when it has been renamed
	_, err = f.Write(file.text)
	err = errors.Join(err, f.Chmod(file.mode), f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(name, file.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(o.dir, file.name), err)
	}
	return nil
}
