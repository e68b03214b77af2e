package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestFilesAreShort: what does not fit into a head does not fit into a file.
func TestFilesAreShort(t *testing.T) {
	const most, mostOfTests = 400, 500
	walk(t, func(name string) error {
		limit := most
		switch {
		case strings.HasSuffix(name, ".pb.go"):
			return nil
		case strings.HasSuffix(name, "_test.go"):
			limit = mostOfTests
		}
		text, err := os.ReadFile(name)
		if n := bytes.Count(text, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, more than %d", name, n, limit)
		}
		return err
	})
}

// narrow are the directories whose comments have been brought to [maxComment] columns, with all
// that is below them. The others follow as they are rewritten.
var narrow = []string{
	"e2e",
	"internal/command",
	"internal/contain",
	"internal/edge",
	"internal/hub",
	"internal/intake",
	"internal/netpoll",
	"internal/publisher",
	"internal/store",
	"internal/testkit",
	"internal/transport",
	"internal/urlpath",
	"internal/vectors",
	"internal/wire",
	"tools",
}

const (
	maxComment = 100 // columns of a line that holds a comment
	tabWidth   = 4
)

// TestCommentsAreNarrow: a long line is not read to its end.
func TestCommentsAreNarrow(t *testing.T) {
	walk(t, func(name string) error {
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		for _, dir := range narrow {
			if strings.HasPrefix(filepath.ToSlash(relative), dir+"/") {
				return checkComments(t, name)
			}
		}
		return nil
	})
}

// checkComments reports the lines of a file that are wider than a comment may be, if it is the
// comment that makes them so: a line of code that has none, or would be too wide without it, is
// not what this is about.
func checkComments(t *testing.T, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if ast.IsGenerated(file) {
		return nil
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:") {
				continue
			}
			first := files.Position(c.Pos())
			for i := range strings.Count(c.Text, "\n") + 1 {
				line := lines[first.Line-1+i]
				if i == 0 && columns(line[:first.Column-1]) > maxComment {
					continue
				}
				if n := columns(line); n > maxComment {
					t.Errorf("%s:%d: a comment that ends in column %d", name, first.Line+i, n)
				}
			}
		}
	}
	return nil
}

// columns returns the width of a line as an editor shows it.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}
