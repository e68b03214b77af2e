package doctor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	sysctlLine = regexp.MustCompile(`^sysctl -w ([a-z0-9_.]+)="?([^"]+)"?$`)
	echoLine   = regexp.MustCompile(`^echo (\S+) >/(\S+)$`)
	place      = regexp.MustCompile(`^(/\S+):(\d+): (\S+)`)
)

// follow does what the printed remedy of a finding says between backquotes, as far as it is for
// Redis, the kernel or nginx. It reports how much it has done.
func (i *installation) follow(f Finding) (done int) {
	i.t.Helper()
	for _, match := range quoted.FindAllStringSubmatch(texts[f.ID].remedy.en, -1) {
		command := match[1]
		switch {
		case strings.HasPrefix(command, "CONFIG "):
			i.redis.Must(shellWords(command)...)
		case sysctlLine.MatchString(command):
			m := sysctlLine.FindStringSubmatch(command)
			i.files["proc/sys/"+strings.ReplaceAll(m[1], ".", "/")] = m[2] + "\n"
		case echoLine.MatchString(command):
			m := echoLine.FindStringSubmatch(command)
			i.files[m[2]] = "always [" + m[1] + "] never\n"
		case strings.HasSuffix(command, ";"):
			i.directive(f, command)
		default:
			continue
		}
		done++
	}
	return done
}

// shellWords splits a command at spaces outside of quotation marks.
func shellWords(command string) (words []string) {
	for n, part := range strings.Split(command, `"`) {
		if n%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// directive writes a directive of nginx to the places that the evidence names: into a location, or
// instead of another directive. Without a place it goes to wherever one of its name is.
func (i *installation) directive(f Finding, directive string) {
	i.t.Helper()
	name, _, _ := strings.Cut(directive, " ")
	main := i.names[0]
	if name == "include" && strings.Contains(i.nginx[main], directive) {
		return
	}
	placed := false
	lines := map[string][]string{}
	for _, evidence := range f.Evidence {
		m := place.FindStringSubmatch(evidence)
		if m == nil {
			continue
		}
		placed = true
		file := m[1]
		if lines[file] == nil {
			lines[file] = strings.Split(i.nginx[file], "\n")
		}
		number, _ := strconv.Atoi(m[2])
		if m[3] != "location" {
			lines[file][number-1] = directive
			continue
		}
		for n := number; n < len(lines[file]) && strings.TrimSpace(lines[file][n]) != "}"; n++ {
			if replaces(directive, strings.TrimSpace(lines[file][n])) {
				lines[file][n] = ""
			}
		}
		lines[file][number-1] += " " + directive // the numbers of the lines stay
	}
	for file, all := range lines {
		i.nginx[file] = strings.Join(all, "\n")
	}
	if placed {
		return
	}
	if name == "include" {
		i.nginx[main] = strings.Replace(i.nginx[main], "server {", "server { "+directive, 1)
		return
	}
	any := regexp.MustCompile(`\b` + name + ` [^;]*;`)
	if !any.MatchString(i.nginx[main]) {
		i.t.Fatal(fmt.Errorf("no %s", name))
	}
	i.nginx[main] = any.ReplaceAllString(i.nginx[main], directive)
}

// replaces reports whether a directive takes the place of another one in the same block.
func replaces(directive, other string) bool {
	a, b := strings.Fields(directive), strings.Fields(other)
	if len(b) == 0 || a[0] != b[0] {
		return false
	}
	return a[0] != "proxy_set_header" || a[1] == b[1]
}
