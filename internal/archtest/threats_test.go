package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testName matches the name of a test in docs/threats.md: its directory and its function.
var testName = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Z]\\w*)`")

// TestThreatsAreTested: each line of the tables of docs/threats.md names tests, and these exist.
func TestThreatsAreTested(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/threats.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{}
	lines := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[len(cells)-1]) == "test" {
			continue
		}
		lines++
		if len(cells) != 4 {
			t.Errorf("%d cells: %s", len(cells), line)
		}
		named := testName.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, name := range named {
			dir := name[1]
			if known[dir] == nil {
				known[dir] = testsOf(t, dir)
			}
			if !known[dir][name[2]] {
				t.Errorf("%s has no %s: %s", dir, name[2], line)
			}
		}
	}
	if lines < 30 {
		t.Errorf("%d lines of threats", lines)
	}
}

// testsOf returns the tests and fuzz targets of a directory.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	return tests
}
