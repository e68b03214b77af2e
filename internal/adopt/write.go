package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// openOutput checks that a directory may be written to: that it is not there, or empty, or was
// written by adopt.
func openOutput(dir string) (*output, error) {
	o := &output{dir: dir}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written to: %s. Name another directory", dir, reason(err))
	}
	text, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil {
		return nil, fmt.Errorf("%s is not empty, and adopt has not written what is in it. Name a new directory", dir)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && filepath.IsLocal(line) {
			o.before = append(o.before, line)
		}
	}
	if bytes.Contains(text, []byte(freshLine)) {
		o.key = o.oldKey()
	}
	return o, nil
}

var writtenKey = regexp.MustCompile(`"?(?:keys|PUSHGATE_KEYS)"?[:=]\s*\[?\s*"?([A-Za-z0-9]{40})"?`)

// oldKey returns the key that was made the last time, so that it is the same again.
func (o *output) oldKey() string {
	for _, name := range []string{"portals.json", "secret.env", "kubernetes/secret.yaml"} {
		if text, err := os.ReadFile(filepath.Join(o.dir, name)); err == nil {
			if match := writtenKey.FindSubmatch(text); match != nil {
				return string(match[1])
			}
		}
	}
	return ""
}

// write writes files, and removes those of the last time that are not among them. Each appears
// whole.
func (o *output) write(files []file, fresh bool) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
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
	if err := writeFile(filepath.Join(o.dir, marker), []byte(both), 0o644); err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(o.dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := writeFile(name, f.text, f.mode); err != nil {
			return err
		}
	}
	for _, name := range o.before {
		if !slices.Contains(names, name) {
			if err := os.Remove(filepath.Join(o.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return writeFile(filepath.Join(o.dir, marker), []byte(list), 0o644)
}

// writeFile writes a file beside its place, and renames it.
func writeFile(name string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // which fails when it has been renamed
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
