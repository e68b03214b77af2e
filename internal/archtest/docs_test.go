package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fileName matches a file of code as CONTRIBUTING.md names it: `hub/reads.go`, or only `reads.go`.
var fileName = regexp.MustCompile("`([a-z0-9_./]+\\.(?:go|lua|conf))`")

// TestContributingNamesFiles: the files that CONTRIBUTING.md sends a reader to exist. A name with a
// directory is below the root or below internal, in one place.
func TestContributingNamesFiles(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return fs.SkipDir
		}
		files = append(files, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := fileName.FindAllStringSubmatch(string(page), -1)
	for _, match := range named {
		name := match[1]
		if !slices.ContainsFunc(files, func(file string) bool {
			if strings.Contains(name, "/") {
				return file == name || file == "internal/"+name
			}
			return path.Base(file) == name
		}) {
			t.Errorf("CONTRIBUTING.md names %s, which does not exist", name)
		}
	}
	if len(named) < 60 {
		t.Errorf("CONTRIBUTING.md names %d files", len(named))
	}
}

// TestNothingIsInstalledFromASharedDirectory: no command that an administrator is to paste takes a
// file from /tmp, where another user may have made it, or its directory, before.
func TestNothingIsInstalledFromASharedDirectory(t *testing.T) {
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		page, err := os.ReadFile(filepath.Join(root, name))
		commands := false
		for i, line := range strings.Split(string(page), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				commands = !commands
			}
			if commands && strings.Contains(line, "/tmp/") {
				t.Errorf("%s:%d: %s", name, i+1, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
