package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// mostLines is how many lines a file may have, so that a reader can keep it in mind.
const mostLines = 400

// TestFilesAreShort includes tests, but not generated code.
func TestFilesAreShort(t *testing.T) {
	walk(t, func(name string) error {
		if strings.HasSuffix(name, ".pb.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if n := bytes.Count(text, []byte("\n")); n > mostLines {
			t.Errorf("%s has %d lines, more than %d", name, n, mostLines)
		}
		return err
	})
}

const (
	maxComment = 100 // columns of a line that holds a comment
	tabWidth   = 4
)

// TestCommentsAreNarrow: comments are easier to read in short lines.
func TestCommentsAreNarrow(t *testing.T) {
	walk(t, func(name string) error { return checkComments(t, name) })
}

// checkComments reports the lines of a file that are too wide because of a comment. Lines whose
// code alone is too wide are not reported.
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
					t.Errorf("%s:%d: a comment ends in column %d", name, first.Line+i, n)
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
