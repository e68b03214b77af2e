// Package archtest holds the shape of the whole: which package may know which, and that each says in a sentence what it is.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "pushgate"
	root   = "../.."
)

// forbidden is an import that a package must not have, be it by way of other packages of this module. A trailing "/..." stands for
// everything below, too.
type forbidden struct{ pkg, imports, reason string }

func rules() []forbidden {
	var rules []forbidden
	not := func(reason, pkg string, imports ...string) {
		for _, name := range imports {
			rules = append(rules, forbidden{pkg, name, reason})
		}
	}
	const (
		redis = "github.com/redis/go-redis/v9/..."
		io    = "words do no input or output: every package must be able to use and test them anywhere"
		words = "words know nothing of what is made of them"
		log   = "the log is an interface of who uses it, filled in by cmd: tests put another in its place"
	)
	not(io, "internal/channel", "net/...", "os/...", "io/fs", "syscall", redis)
	not(io, "internal/sign", "net/...", "os/...", "io/fs", "syscall", redis)
	not(io, "internal/proto", "net/...", "os/...", "io/fs", "syscall", redis)
	not(words, "internal/channel", "pushgate/internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("ids and lists are read without a key", "internal/channel", "pushgate/internal/sign", "crypto/...",
		"github.com/golang-jwt/jwt/v5")
	not(io, "internal/policy", "net/...", "os/...", "io/fs", "syscall", redis)
	not(words, "internal/policy", "pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not(words, "internal/sign", "pushgate/internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not(words, "internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("who is served has nothing to do with how", "internal/portal", "net/http", "os/...", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("what a process tells of itself is the same for all of them", "internal/tally", "net/http", redis, "pushgate/internal/store/...",
		"pushgate/internal/hub", "pushgate/internal/command", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config",
		"pushgate/internal/ops")
	not("what may be asked is the same over every transport and log", "internal/command", "net/http", "github.com/coder/websocket/...",
		redis, "pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher",
		"pushgate/internal/config", "pushgate/internal/ops")
	not("delivery has no say in what may be sent", "internal/hub", "pushgate/internal/command")
	not("delivery is the same by any transport", "internal/hub", "net/...", "github.com/coder/websocket/...", "pushgate/internal/edge")
	not("delivery is proven against a log without Redis", "internal/hub", redis)
	not(log, "internal/hub", "pushgate/internal/store/...")
	not(log, "internal/edge", "pushgate/internal/store/...", redis)
	not(log, "internal/publisher", "pushgate/internal/store/...", redis)
	not("they meet in the log only, and run in different processes", "internal/edge", "pushgate/internal/publisher")
	not("they meet in the log only, and run in different processes", "internal/publisher", "pushgate/internal/edge", "pushgate/internal/hub")
	not("the log knows nothing of who uses it", "internal/store", "net/http", "pushgate/internal/hub", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("notifications are the same whatever they say", "internal/store/pubsub", "net/http", "pushgate/internal/store", "pushgate/internal/proto",
		"pushgate/internal/channel")
	not("what a program is told has nothing to do with how it works", "internal/config", "pushgate/internal/store/...",
		"pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/ops")
	not("what measures a server has code of its own for what it sends and reads", "tools/load", "github.com/coder/websocket/...", redis)
	not("connections are the same whatever travels over them", "tools/load/loop", "net/http", "pushgate/tools/load")
	not("a URL can be checked where nothing is opened", "internal/redisurl", "net/http", "os/...", redis, "pushgate/internal/store/...",
		"pushgate/internal/config")
	not("frames come from anything that can be read", "internal/frame", "net/...", "os/...", "syscall", "github.com/coder/websocket/...")
	not("what rests is a connection, whatever is said on it", "internal/netpoll", "net/http", "github.com/coder/websocket/...",
		"pushgate/internal/frame", "pushgate/internal/hub", "pushgate/internal/edge")
	not("connections are handed over the same, whoever serves them", "internal/handover", "net/http", redis, "github.com/coder/websocket/...",
		"pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config",
		"pushgate/internal/ops", "pushgate/internal/netpoll")
	not("sockets are the same whatever travels over them", "internal/netpoll/socket", "net/http", redis, "github.com/coder/websocket/...")
	not("a path means the same to every program", "internal/urlpath", "net/http", "pushgate/internal/edge", "pushgate/internal/publisher")
	not("every program is operated alike", "internal/ops", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config")
	return rules
}

// source is what the files of one directory say, but for tests.
type source struct {
	imports []string
	docs    map[string]string // by file, only those that have any
	tests   bool              // there are only tests
}

// walk calls f with the path of each Go file of all modules.
func walk(t *testing.T, f func(name string) error) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		return f(name)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources reads all modules, by directory.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	all := map[string]*source{}
	walk(t, func(name string) error {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err == nil {
			add(all, name, file)
		}
		return err
	})
	return all
}

func add(all map[string]*source, name string, file *ast.File) {
	relative, _ := filepath.Rel(root, name)
	dir := path.Dir(filepath.ToSlash(relative))
	if all[dir] == nil {
		all[dir] = &source{docs: map[string]string{}, tests: true}
	}
	s := all[dir]
	if file.Doc != nil {
		s.docs[relative] = file.Doc.Text()
	}
	if strings.HasSuffix(name, "_test.go") {
		return
	}
	s.tests = false
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		s.imports = append(s.imports, imported)
	}
}

// reach gives a way of imports from a directory to what a pattern stands for, through packages of this module; nil if there is none.
func reach(all map[string]*source, dir, pattern string, seen map[string]bool) []string {
	if seen[dir] || all[dir] == nil {
		return nil
	}
	seen[dir] = true
	for _, imported := range all[dir].imports {
		if matches(imported, pattern) {
			return []string{dir, imported}
		}
		if next, ours := strings.CutPrefix(imported, module+"/"); ours {
			if way := reach(all, next, pattern, seen); way != nil {
				return append([]string{dir}, way...)
			}
		}
	}
	return nil
}

func matches(imported, pattern string) bool {
	if base, below := strings.CutSuffix(pattern, "/..."); below {
		return imported == base || strings.HasPrefix(imported, base+"/")
	}
	return imported == pattern
}

// harmless are packages below net that only name things: nothing goes in or out by them.
var harmless = []string{"net/netip", "net/url"}

func TestForbiddenImports(t *testing.T) {
	all := sources(t)
	for _, s := range all {
		s.imports = slices.DeleteFunc(s.imports, func(name string) bool { return slices.Contains(harmless, name) })
	}
	for _, rule := range rules() {
		if all[rule.pkg] == nil {
			t.Errorf("%s is not there any more: mend the rules", rule.pkg)
		}
		if way := reach(all, rule.pkg, rule.imports, map[string]bool{}); way != nil {
			t.Errorf("%s must not import %s: %s", strings.Join(way, " → "), rule.imports, rule.reason)
		}
	}
	for dir, s := range all {
		for _, imported := range s.imports {
			if strings.Contains(imported, "/cmd/") && strings.HasPrefix(imported, module+"/") {
				t.Errorf("%s → %s: a command is where everything ends", dir, imported)
			}
			ours, own := strings.CutPrefix(imported, module+"/")
			switch {
			case !own:
			case !measures(dir) && measures(ours):
				t.Errorf("%s → %s: what measures and tests the product is no part of it", dir, imported)
			case isTool(dir) && !isTool(ours):
				t.Errorf("%s → %s: what measures a server shares nothing with it: a fault in both would not be seen", dir, imported)
			}
			if strings.HasPrefix(dir, "internal/") && !isTestHelp(dir) && isTestHelp(strings.TrimPrefix(imported, module+"/")) {
				t.Errorf("%s → %s: help for tests does not ship", dir, imported)
			}
			if !isTestHelp(dir) && imported == "testing" {
				t.Errorf("%s imports testing: it would ship", dir)
			}
		}
	}
}

// isTool reports whether a directory is of the modules below tools.
func isTool(dir string) bool { return strings.HasPrefix(dir, "tools/") }

// measures reports whether a directory is of a module that is not the product's.
func measures(dir string) bool { return isTool(dir) || dir == "e2e" || strings.HasPrefix(dir, "e2e/") }

// isTestHelp reports whether a package exists for tests alone.
func isTestHelp(dir string) bool {
	return slices.Contains([]string{"e2e", "internal/leaktest", "internal/testkit", "internal/vectors", "internal/faulty", "internal/store/storetest"}, dir)
}

// TestRulesBite checks the search itself, on a module that breaks a rule in every way.
func TestRulesBite(t *testing.T) {
	all := map[string]*source{
		"internal/a": {imports: []string{"pushgate/internal/b", "strings"}},
		"internal/b": {imports: []string{"pushgate/internal/a", "net/http/httptest", "network"}},
	}
	for _, c := range []struct{ dir, pattern, want string }{
		{"internal/a", "net/...", "internal/a internal/b net/http/httptest"},
		{"internal/b", "net/...", "internal/b net/http/httptest"},
		{"internal/b", "net/http", ""},
		{"internal/a", "os/...", ""},
		{"internal/a", "network/...", "internal/a internal/b network"},
	} {
		if got := strings.Join(reach(all, c.dir, c.pattern, map[string]bool{}), " "); got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.dir, c.pattern, got, c.want)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for dir, s := range sources(t) {
		if len(s.docs) != 1 {
			t.Errorf("%s: %d files have a package comment, want one", dir, len(s.docs))
			continue
		}
		for file, doc := range s.docs {
			if strings.HasSuffix(file, "_test.go") && !s.tests {
				t.Errorf("%s: the package comment is in a test", file)
			}
			start := "Package " + path.Base(dir) + " "
			if strings.Contains("/"+dir, "/cmd/") {
				start = "Command " + path.Base(dir) + " "
			}
			if !strings.HasPrefix(doc, start) || !isSentence(doc) {
				t.Errorf("%s: %q does not begin with one sentence that begins with %q", file, doc, start)
			}
		}
	}
}

// isSentence reports whether the first paragraph of a comment is one sentence. Paragraphs on how it works may follow.
func isSentence(doc string) bool {
	first, _, _ := strings.Cut(doc, "\n\n")
	text := strings.Join(strings.Fields(first), " ")
	return strings.HasSuffix(text, ".") && !strings.Contains(text, ". ") && !strings.Contains(text, "! ") && !strings.Contains(text, "? ")
}
