// Package archtest checks imports between packages, their doc comments, sizes of files, widths of
// comments, and that what documents name exists.
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
	module  = "pushgate"
	root    = "../.."
	testkit = "internal/testkit"
)

// forbidden is an import that a package must not have, not even through other packages of this
// module. A trailing "/..." includes everything below.
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
		io    = "packages of words have no input or output, so that every package can use and test them anywhere"
		words = "packages of words must not depend on those that use them"
		log   = "the log is an interface of its user, and server passes it in: tests use another one"
	)
	not(io, "internal/channel", "net/...", "os/...", "io/fs", "syscall", redis)
	not(io, "internal/sign", "net/...", "os/...", "io/fs", "syscall", redis)
	not(io, "internal/proto", "net/...", "os/...", "io/fs", "syscall", redis)
	not(words, "internal/channel", "pushgate/internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("ids and lists are read without a key", "internal/channel", "pushgate/internal/sign", "crypto/...",
		"github.com/golang-jwt/jwt/v5")
	not(io, "internal/policy", "net/...", "os/...", "io/fs", "syscall", redis)
	not(io, "internal/revoke", "net/...", "os/...", "io/fs", "syscall", redis)
	not(words, "internal/revoke", "pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not(words, "internal/policy", "pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not(words, "internal/sign", "pushgate/internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not(words, "internal/proto", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("which portals are served does not depend on how", "internal/portal", "net/http", "os/...", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("statistics are the same for all processes", "internal/tally", "net/http", redis, "pushgate/internal/store/...",
		"pushgate/internal/hub", "pushgate/internal/command", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config",
		"pushgate/internal/ops")
	not("what may be asked is the same over every transport and log", "internal/command", "net/http", "github.com/coder/websocket/...",
		redis, "pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher",
		"pushgate/internal/config", "pushgate/internal/ops")
	not("delivery does not decide what may be sent", "internal/hub", "pushgate/internal/command")
	not("delivery is the same by any transport", "internal/hub", "net/...", "github.com/coder/websocket/...", "pushgate/internal/edge")
	not("delivery is tested with a log without Redis", "internal/hub", redis)
	not(log, "internal/hub", "pushgate/internal/store/...")
	not(log, "internal/edge", "pushgate/internal/store/...", redis)
	not(log, "internal/publisher", "pushgate/internal/store/...", redis)
	not("they meet in the log only, and run in different processes", "internal/edge", "pushgate/internal/publisher")
	not("they meet in the log only, and run in different processes", "internal/publisher", "pushgate/internal/edge", "pushgate/internal/hub")
	not("copies are made of accepted posts, whoever accepted them", "internal/mirror", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config")
	not("the mirror is an interface of the publisher: posts do not depend on how copies are sent", "internal/publisher", "pushgate/internal/mirror")
	not("servers are compared from outside, by what they send", "internal/compare", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/wire")
	not("a shell uses a server from outside, or its log as an edge does", "internal/shell", redis, "pushgate/internal/store/...", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("the log must not depend on its users", "internal/store", "net/http", "pushgate/internal/hub", "pushgate/internal/edge",
		"pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("notifications are the same whatever they say", "internal/store/pubsub", "net/http", "pushgate/internal/store", "pushgate/internal/proto",
		"pushgate/internal/channel")
	not("settings do not depend on what uses them", "internal/config", "pushgate/internal/store/...",
		"pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/ops")
	not("the load tool has its own protocol code, so that a bug in the server cannot hide", "tools/load", "github.com/coder/websocket/...", redis)
	not("connections are the same whatever travels over them", "tools/load/loop", "net/http", "pushgate/tools/load")
	not("a URL is checked without opening a connection", "internal/redisurl", "net/http", "os/...", redis, "pushgate/internal/store/...",
		"pushgate/internal/config")
	not("frames come from anything that can be read", "internal/frame", "net/...", "os/...", "syscall", "github.com/coder/websocket/...")
	not("resting does not depend on the protocol", "internal/netpoll", "net/http", "github.com/coder/websocket/...",
		"pushgate/internal/frame", "pushgate/internal/hub", "pushgate/internal/edge")
	not("a hand-over does not depend on what serves the connections", "internal/handover", "net/http", redis, "github.com/coder/websocket/...",
		"pushgate/internal/store/...", "pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config",
		"pushgate/internal/ops", "pushgate/internal/netpoll")
	not("sockets are the same whatever travels over them", "internal/netpoll/socket", "net/http", redis, "github.com/coder/websocket/...")
	not("a fault is the same whatever it is put in the way of", "internal/testkit/faulty", "pushgate/internal/...")
	not("a path means the same to every program", "internal/urlpath", "net/http", "pushgate/internal/edge", "pushgate/internal/publisher")
	not("what an operator may do does not depend on what a program serves", "internal/admin", redis, "pushgate/internal/doctor", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("the console is files; what it shows it asks for like everybody", "internal/console", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops")
	not("processes are asked by whatever carries the questions", "internal/fleet", redis, "net/http", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops", "pushgate/internal/admin")
	not("spans are made of what the parts of a program do, whatever they do it with", "internal/tracing", "net", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops", "pushgate/internal/tracing/otlp")
	for _, pkg := range []string{"internal/proto", "internal/store", "internal/hub", "internal/wire", "internal/command"} {
		not("traces are made at the ends, of what the core notes", pkg, "pushgate/internal/tracing/...")
	}
	not("a history is kept in whatever keeps samples", "internal/history", redis, "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config", "pushgate/internal/ops", "pushgate/internal/admin")
	not("an installation is checked from outside, as by a shell", "internal/doctor", "pushgate/internal/hub", "pushgate/internal/edge", "pushgate/internal/publisher",
		"pushgate/internal/ops", "pushgate/internal/admin", "pushgate/internal/server")
	not("a name means the same to every program", "internal/hostname", "net/http", "pushgate/internal/edge", "pushgate/internal/publisher")
	not("every program is operated alike", "internal/ops", "pushgate/internal/store/...", "pushgate/internal/hub",
		"pushgate/internal/edge", "pushgate/internal/publisher", "pushgate/internal/config")
	return rules
}

// source has the imports and package comments of a directory, without tests.
type source struct {
	imports []string
	docs    map[string]string // package comments by file
	tests   bool              // all files are tests
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

// reach returns a chain of imports from a directory to a package that matches a pattern, through
// packages of this module; nil if there is none.
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

// harmless are packages below net without input or output.
var harmless = []string{"net/netip", "net/url"}

func TestForbiddenImports(t *testing.T) {
	all := sources(t)
	for _, s := range all {
		s.imports = slices.DeleteFunc(s.imports, func(name string) bool { return slices.Contains(harmless, name) })
	}
	for _, rule := range rules() {
		if all[rule.pkg] == nil {
			t.Errorf("%s does not exist any more: correct the rules", rule.pkg)
		}
		if way := reach(all, rule.pkg, rule.imports, map[string]bool{}); way != nil {
			t.Errorf("%s must not import %s: %s", strings.Join(way, " → "), rule.imports, rule.reason)
		}
	}
	for dir, s := range all {
		for _, imported := range s.imports {
			if reason := trespass(dir, imported); reason != "" {
				t.Errorf("%s → %s: %s", dir, imported, reason)
			}
		}
	}
}

// trespass returns why a directory must not import a package, whatever that one imports itself; ""
// if it may.
func trespass(dir, imported string) (reason string) {
	ours, own := strings.CutPrefix(imported, module+"/")
	switch {
	case !own && imported == "testing" && !isTestHelp(dir):
		return "it would ship"
	case matches(imported, "go.opentelemetry.io/...") && !matches(dir, "internal/tracing/..."):
		return "spans are made in one place, so that tracing that is off is one nil check"
	case !own:
		return ""
	case strings.Contains(ours, "cmd/"):
		return "no package imports a command"
	case !measures(dir) && measures(ours):
		return "the product must not import its tests and tools"
	case isTool(dir) && !isTool(ours):
		return "a tool that measures a server must not share code with it, because a bug in both would not be noticed"
	case !measures(dir) && !isTestHelp(dir) && isTestHelp(ours):
		return "packages for tests must not ship"
	case dir == testkit && ours != "internal/channel" && ours != "internal/sign":
		return "the tests of every package but these two must be able to use it"
	}
	return ""
}

// isTool reports whether a directory belongs to a module below tools.
func isTool(dir string) bool { return strings.HasPrefix(dir, "tools/") }

// measures reports whether a directory belongs to another module than the product's.
func measures(dir string) bool { return isTool(dir) || dir == "e2e" || strings.HasPrefix(dir, "e2e/") }

// isTestHelp reports whether a package is only for tests.
func isTestHelp(dir string) bool {
	return dir == "e2e" || dir == "internal/vectors" || matches(dir, testkit+"/...")
}

// TestRulesBite checks that the search finds forbidden imports of every kind.
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

func TestTrespass(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		may           bool
	}{
		{"internal/hub", "testing", false},
		{"internal/hub", "pushgate/internal/proto", true},
		{"internal/hub", "pushgate/internal/testkit", false},
		{"internal/hub", "pushgate/internal/testkit/storetest", false},
		{"internal/hub", "pushgate/internal/vectors", false},
		{"internal/hub", "pushgate/e2e", false},
		{"internal/hub", "pushgate/tools/load", false},
		{"internal/hub", "pushgate/cmd/edge", false},
		{"cmd/pushgate", "pushgate/internal/testkit/faulty", false},
		{"internal/edge", "go.opentelemetry.io/otel/trace", false},
		{"internal/tracing/otlp", "go.opentelemetry.io/otel/trace", true},
		{"e2e", "testing", true},
		{"e2e", "pushgate/internal/testkit/faulty", true},
		{"e2e/php", "testing", false},
		{"tools/load", "pushgate/tools/load/loop", true},
		{"tools/load", "pushgate/internal/testkit", false},
		{"internal/testkit", "testing", true},
		{"internal/testkit", "pushgate/internal/sign", true},
		{"internal/testkit", "pushgate/internal/store", false},
		{"internal/testkit", "pushgate/internal/testkit/storetest", false},
		{"internal/testkit/storetest", "pushgate/internal/store", true},
	} {
		if reason := trespass(c.dir, c.imported); (reason == "") != c.may {
			t.Errorf("%s imports %s: %q", c.dir, c.imported, reason)
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

// isSentence reports whether the first paragraph of a comment is one sentence. Other paragraphs may
// follow.
func isSentence(doc string) bool {
	first, _, _ := strings.Cut(doc, "\n\n")
	text := strings.Join(strings.Fields(first), " ")
	return strings.HasSuffix(text, ".") && !strings.Contains(text, ". ") && !strings.Contains(text, "! ") && !strings.Contains(text, "? ")
}
