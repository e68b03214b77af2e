package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/adopt/nginxconf"
)

// conf is nginx's configuration with all files included where they are.
type conf struct {
	top *block

	byName   map[string][]*block // all directives, in their order
	files    map[string][]nginxconf.Directive
	names    []string // of files, in their order
	included int
	size     int      // directives
	missing  []string // includes without a file
	compiled map[string]*regexp.Regexp
	routes   routes
	http     string // the version of HTTP to servers if none is set
}

// block is a directive with where it is.
type block struct {
	name   string
	args   []string
	file   string
	line   int
	parent *block
	inside []*block
}

const (
	nginxTimeout = 8 * time.Second
	maxIncluded  = 5000
	maxSize      = 200_000 // directives, those of a file as often as it is included
	maxNested    = 32
)

// nginxDump is the configuration that runs, or why it is not known.
type nginxDump struct {
	conf *conf // nil if it cannot be read
	why  reason
	text string // the error
}

// readNginx reads the configuration that runs, from a file or from nginx itself.
func (e *exam) readNginx(ctx context.Context) nginxDump {
	var text string
	var err error
	if e.Nginx != "" {
		if text, err = readBounded(e.Nginx); err != nil {
			return nginxDump{nil, noNginxFile, err.Error()}
		}
	} else if text, err = runNginx(ctx); err != nil {
		return nginxDump{nil, noNginx, err.Error()}
	}
	c, err := parseDump(text)
	if err != nil {
		return nginxDump{nil, badNginx, err.Error()}
	}
	return nginxDump{conf: c}
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxFile - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// runNginx returns the output of "nginx -T".
func runNginx(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nginxTimeout)
	defer cancel()
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, "nginx", "-T")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		last := strings.TrimSpace(stderr.String())
		return "", fmt.Errorf("nginx -T: %w: %s", err, last[strings.LastIndexByte(last, '\n')+1:])
	}
	version, _ := exec.CommandContext(ctx, "nginx", "-v").CombinedOutput()
	return string(version) + stdout.String(), nil
}

var (
	fileMark    = regexp.MustCompile(`(?m)^# configuration file (.+):\r?$`)
	nginxNumber = regexp.MustCompile(`nginx version: nginx/(\d+)\.(\d+)\.(\d+)`)
)

// usualHTTP returns the version of HTTP that nginx speaks to servers if none is set: since 1.29.7
// that is 1.1. The text may begin with the output of "nginx -v".
func usualHTTP(text string) string {
	var number [3]int
	if m := nginxNumber.FindStringSubmatch(text); m != nil {
		for i := range number {
			number[i], _ = strconv.Atoi(m[i+1])
		}
	}
	if slices.Compare(number[:], []int{1, 29, 7}) >= 0 {
		return "1.1"
	}
	return "1.0"
}

// parseDump reads the output of "nginx -T".
func parseDump(text string) (*conf, error) {
	marks := fileMark.FindAllStringSubmatchIndex(text, maxIncluded)
	if len(marks) == 0 {
		return nil, errors.New("no line \"# configuration file …:\"")
	}
	c := &conf{top: &block{}, byName: map[string][]*block{}, files: map[string][]nginxconf.Directive{}, compiled: map[string]*regexp.Regexp{}}
	for i, mark := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := text[mark[2]:mark[3]]
		directives, err := nginxconf.Parse([]byte(text[mark[1]:end]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, twice := c.files[name]; !twice {
			c.names = append(c.names, name)
		}
		c.files[name] = directives
	}
	main := c.names[0]
	if err := c.include(c.top, main, c.files[main], 0); err != nil {
		return nil, err
	}
	c.routes, c.http = c.findRoutes(), usualHTTP(text[:marks[0][0]])
	return c, nil
}

// include adds the directives of a file to a block.
func (c *conf) include(to *block, file string, directives []nginxconf.Directive, depth int) error {
	if depth > maxNested {
		return fmt.Errorf("%s: files and blocks are too deep inside one another", file)
	}
	for _, d := range directives {
		if c.size++; c.size > maxSize {
			return fmt.Errorf("%s: more than %d directives", file, maxSize)
		}
		if d.Name == "include" {
			if err := c.includeAll(to, d.Arg(0), depth); err != nil {
				return err
			}
			continue
		}
		// The text of a file begins in the line after its mark.
		b := &block{name: d.Name, args: d.Args, file: file, line: d.Line - 1, parent: to}
		to.inside = append(to.inside, b)
		c.byName[d.Name] = append(c.byName[d.Name], b)
		if err := c.include(b, file, d.Block, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// includeAll adds the files that an include directive means.
func (c *conf) includeAll(to *block, pattern string, depth int) error {
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(c.names[0]), pattern)
	}
	found := false
	for _, name := range c.names {
		if ok, err := path.Match(pattern, name); err != nil || !ok {
			continue
		}
		found = true
		if c.included++; c.included > maxIncluded {
			return errors.New("files include one another again and again")
		}
		if err := c.include(to, name, c.files[name], depth+1); err != nil {
			return err
		}
	}
	if !found && !strings.ContainsAny(pattern, "*?[") {
		c.missing = append(c.missing, pattern)
	}
	return nil
}

// String returns where a directive is, and its text.
func (b *block) String() string {
	return fmt.Sprintf("%s:%d: %s", b.file, b.line, strings.TrimSpace(b.name+" "+strings.Join(b.args, " ")))
}

// arg returns an argument, empty if there is none.
func (b *block) arg(i int) string {
	if i >= len(b.args) {
		return ""
	}
	return b.args[i]
}

// pattern returns what the path of a location must match.
func (b *block) pattern() string { return b.arg(max(0, len(b.args)-1)) }

// all returns the directives of a name in a block.
func (b *block) all(name string) (all []*block) {
	for _, d := range b.inside {
		if d.name == name {
			all = append(all, d)
		}
	}
	return all
}

// effective returns the directives of a name that hold in a block: its own, or else those of the
// nearest block around it that has any.
func (b *block) effective(name string) []*block {
	for ; b != nil; b = b.parent {
		if all := b.all(name); len(all) > 0 {
			return all
		}
	}
	return nil
}

// value returns the first argument of a directive that holds in a block, or what holds without one.
func (b *block) value(name, otherwise string) string {
	if all := b.effective(name); len(all) > 0 {
		return all[0].arg(0)
	}
	return otherwise
}

// locate returns the location that nginx chooses for a path in a server or location, nil if none.
func (c *conf) locate(in *block, at string) *block {
	var prefix *block
	var regexps []*block
	for _, l := range in.all("location") {
		switch l.arg(0) {
		case "=":
			if l.arg(1) == at {
				return l
			}
		case "~", "~*":
			regexps = append(regexps, l)
		default:
			if strings.HasPrefix(at, l.pattern()) && (prefix == nil || len(l.pattern()) > len(prefix.pattern())) {
				prefix = l
			}
		}
	}
	if prefix != nil {
		if nested := c.locate(prefix, at); nested != nil {
			return nested
		}
		if prefix.arg(0) == "^~" {
			return prefix
		}
	}
	for _, l := range regexps {
		if c.matches(l, at) {
			if nested := c.locate(l, at); nested != nil {
				return nested
			}
			return l
		}
	}
	return prefix
}

// matches reports whether the regular expression of a location matches a path. One that only
// nginx's library understands does not.
func (c *conf) matches(l *block, at string) bool {
	text := l.arg(1)
	if l.arg(0) == "~*" {
		text = "(?i)" + text
	}
	re, seen := c.compiled[text]
	if !seen {
		re, _ = regexp.Compile(text)
		c.compiled[text] = re
	}
	return re != nil && re.MatchString(at)
}
