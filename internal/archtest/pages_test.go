package archtest

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is a document in Markdown.
type page struct {
	first    string          // its first line
	prose    string          // without code
	code     []string        // the fenced blocks, without comments
	anchors  map[string]bool // where a link can lead to
	headings []int           // their levels, in order
}

var (
	codeSpan = regexp.MustCompile("`[^`]*`")
	comment  = regexp.MustCompile(`(^|\s)#(\s.*)?$`)
	link     = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
)

// readPages returns the documents by their paths below the root.
func readPages(t *testing.T) map[string]page {
	t.Helper()
	pages := make(map[string]page)
	read := func(name string) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = parsePage(string(text))
	}
	for _, pattern := range []string{"*.md", "bench/*.md", "deploy/*.md", "deploy/*/*.md"} {
		names, err := fs.Glob(os.DirFS(root), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			read(name)
		}
	}
	err := fs.WalkDir(os.DirFS(root), "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			read(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func parsePage(text string) page {
	p := page{anchors: make(map[string]bool)}
	p.first, _, _ = strings.Cut(text, "\n")
	fenced := false
	for line := range strings.Lines(text) {
		switch level := strings.IndexFunc(line, func(r rune) bool { return r != '#' }); {
		case strings.HasPrefix(strings.TrimLeft(line, " "), "```"):
			fenced = !fenced
			if fenced {
				p.code = append(p.code, line)
			}
		case fenced:
			p.code[len(p.code)-1] += strings.TrimRight(comment.ReplaceAllString(strings.TrimRight(line, "\n"), ""), " ") + "\n"
		case level > 0:
			p.headings = append(p.headings, level)
			p.anchors[anchor(line[level:])] = true
			p.prose += line
		default:
			p.prose += line
		}
	}
	p.prose = codeSpan.ReplaceAllString(p.prose, "")
	return p
}

// anchor returns the anchor that GitHub makes of a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// links returns what a text of a page links to, as paths below the root with their anchors. Links
// to other places are left out.
func links(t *testing.T, name, text string) (paths, anchors []string) {
	t.Helper()
	for _, match := range link.FindAllStringSubmatch(text, -1) {
		target, err := url.Parse(match[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if target.IsAbs() {
			continue
		}
		to := name
		if target.Path != "" {
			to = path.Join(path.Dir(name), target.Path)
		}
		paths, anchors = append(paths, to), append(anchors, target.Fragment)
	}
	return paths, anchors
}

// TestLinksOfDocuments: each link in a document to another file, or to a heading, leads there.
func TestLinksOfDocuments(t *testing.T) {
	pages := readPages(t)
	checked := 0
	for name, p := range pages {
		paths, anchors := links(t, name, p.prose)
		checked += len(paths)
		for i, to := range paths {
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s: %v", name, to, errors.Unwrap(err))
			} else if target, ok := pages[to]; anchors[i] != "" && (!ok || !target.anchors[anchors[i]]) {
				t.Errorf("%s links to %s#%s, which has no such heading", name, to, anchors[i])
			}
		}
	}
	if checked < 200 {
		t.Errorf("%d links", checked)
	}
}

// TestTwinsOfDocuments: a document in both languages has the same commands and the same headings in
// both, apart from the map. The first line of each links to the other. All pages of docs/install
// are in both.
func TestTwinsOfDocuments(t *testing.T) {
	pages := readPages(t)
	twins := 0
	for name, english := range pages {
		below, ok := strings.CutPrefix(name, "docs/")
		if !ok || strings.HasPrefix(below, "ru/") {
			continue
		}
		other := "docs/ru/" + below
		russian, ok := pages[other]
		if !ok {
			if strings.HasPrefix(below, "install/") {
				t.Errorf("%s is not in Russian", name)
			}
			continue
		}
		twins++
		for from, to := range map[string]string{name: other, other: name} {
			if paths, _ := links(t, from, pages[from].first); !slices.Equal(paths, []string{to}) {
				t.Errorf("the first line of %s does not link to %s: %q", from, to, pages[from].first)
			}
		}
		if below == "README.md" {
			continue
		}
		if !slices.Equal(english.headings, russian.headings) {
			t.Errorf("the levels of the headings in %s: %v, in %s: %v", name, english.headings, other, russian.headings)
		}
		for i := range max(len(english.code), len(russian.code)) {
			if i >= len(english.code) || i >= len(russian.code) || english.code[i] != russian.code[i] {
				t.Errorf("block %d of code is not the same in %s and %s:\n%q\n%q", i+1, name, other, at(english.code, i), at(russian.code, i))
			}
		}
	}
	for name := range pages {
		if below, ok := strings.CutPrefix(name, "docs/ru/"); ok {
			if _, ok := pages["docs/"+below]; !ok {
				t.Errorf("%s is not in English", name)
			}
		}
	}
	if twins < 11 {
		t.Errorf("%d documents are in both languages", twins)
	}
}

func at(blocks []string, i int) string {
	if i < len(blocks) {
		return blocks[i]
	}
	return ""
}

// TestPagesHaveTheLinesOfOverrides: what the first lines of an override file in deploy/compose say
// to paste is in a page of docs/install. Of the files that share a page, only the name differs.
func TestPagesHaveTheLinesOfOverrides(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy/compose/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	pages := readPages(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(file)
		name := "docs/install/" + strings.TrimSuffix(base, ".yml") + ".md"
		shared := "docs/install/images.md"
		p, ok := pages[name]
		if !ok || !slices.ContainsFunc(p.code, func(block string) bool { return strings.Contains(block, "deploy/compose/"+base) }) {
			name, p = shared, pages[shared]
		}
		var wanted strings.Builder
		for line := range strings.Lines(string(text)) {
			if command, ok := strings.CutPrefix(line, "#   "); ok {
				wanted.WriteString(command)
			}
		}
		block := wanted.String()
		if name == shared {
			block = strings.ReplaceAll(block, base, "ikarpovich.yml")
		}
		if !slices.Contains(p.code, "```sh\n"+block) || !strings.Contains(string(text), name) {
			t.Errorf("%s does not have the lines of %s, or is not named there:\n%s", name, file, block)
		}
	}
}
