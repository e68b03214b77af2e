// Package original reads the settings of the push server that pushgate replaces, and translates
// them into pushgate's own.
package original

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pushgate/internal/config"
)

// Role is which part of a push server a process is.
type Role int

// The roles.
const (
	Unset     Role = iota // the settings do not say
	Edge                  // "sub": subscribers connect to it
	Publisher             // "pub": the portal posts to it
	Both                  // "all"
)

// String returns the name of the role as pushgate has it, empty for Unset.
func (r Role) String() string { return [...]string{"", "edge", "publisher", "both"}[r] }

// Settings is an environment that pushgate understands.
type Settings struct {
	// The environment without the original's variables, and with those of pushgate that they stand
	// for. It holds secrets: do not print it.
	Environ []string
	Role    Role
	// What the operator should know: one sentence each, without secrets.
	Notes []string
}

// Translate returns what an environment, in the form of [os.Environ], means to pushgate. Variables
// of the original's images become those of pushgate; a PUSHGATE_ variable that is set wins over
// theirs. An environment without any of theirs is returned as it is.
//
// It refuses variables that ask for something that pushgate does not do, and names that the
// original's images do not have but that look like theirs. Every error is [config.Faults]: all
// that is wrong, each with what to write instead; the settings beside it are those that could be
// translated. It does not check what the loaders of package config check: load Environ with them.
// It has no side effects.
func Translate(environ []string) (Settings, error) {
	t := &translator{theirs: map[string]string{}, ours: map[string]string{}}
	t.read(environ)
	if !t.speaks() {
		return Settings{Environ: environ}, nil
	}
	t.role()
	t.keys()
	t.redis()
	t.listen()
	t.paths()
	t.refused()
	t.unknown()
	if len(t.faults) > 0 {
		slices.SortStableFunc(t.faults, func(a, b config.Fault) int { return cmp.Compare(a.Variable, b.Variable) })
		return t.settings, t.faults
	}
	return t.settings, nil
}

// translator holds an environment while it is translated.
type translator struct {
	theirs   map[string]string // of the original's families, those that are not empty
	ours     map[string]string // of pushgate, those that are not empty
	settings Settings
	faults   config.Faults
}

// read sorts the variables. The last of several with one name counts, as for os/exec, and an empty
// value counts as not set: compose files make one of a variable that they do not have.
func (t *translator) read(environ []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case strings.HasPrefix(name, config.Prefix):
			t.ours[name] = value
		case foreign(name, value):
		case Known(name) || inFamily(name):
			t.theirs[name] = value
			continue
		}
		t.settings.Environ = append(t.settings.Environ, entry)
	}
	for _, names := range []map[string]string{t.theirs, t.ours} {
		for name, value := range names {
			if value == "" {
				delete(names, name)
			}
		}
	}
}

// speaks reports whether there is a variable that one of the original's images knows. MODE is too
// common a name to count by itself, unless it has a value of theirs.
func (t *translator) speaks() bool {
	for name, value := range t.theirs {
		if _, role := roles[value]; Known(name) && (name != "MODE" || role) {
			return true
		}
	}
	return false
}

// set adds a variable of pushgate.
func (t *translator) set(name, value string) {
	t.settings.Environ = append(t.settings.Environ, name+"="+value)
}

// wins reports whether a variable of pushgate is set, which makes theirs void. It notes so.
func (t *translator) wins(ours string, theirs ...string) bool {
	if t.ours[ours] == "" {
		return false
	}
	if void := t.present(theirs...); len(void) > 0 {
		t.note("%s is set, so %s %s no effect.", ours, list(void), plural(len(void), "has", "have"))
	}
	return true
}

// present returns those of the names that are set.
func (t *translator) present(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return t.theirs[name] == "" })
}

func (t *translator) note(format string, args ...any) {
	t.settings.Notes = append(t.settings.Notes, fmt.Sprintf(format, args...))
}

func (t *translator) fault(variable, problem, hint string) {
	t.faults = append(t.faults, config.Fault{Variable: variable, Problem: problem, Hint: hint})
}

// roles are the values of MODE and PUSHROLE.
var roles = map[string]Role{"sub": Edge, "pub": Publisher, "all": Both}

// role finds out which part the process is to be. The variables that say it must agree.
func (t *translator) role() {
	said := ""
	say := func(name string, role Role) {
		switch {
		case said == "":
			said, t.settings.Role = name, role
		case t.settings.Role != role:
			t.fault(name, fmt.Sprintf("it contradicts %s, which makes this process the %s", said, t.settings.Role),
				"only one of the two; MODE=all for both parts in one process")
		}
	}
	for _, name := range t.present("MODE", "PUSHROLE") {
		if role, ok := roles[t.theirs[name]]; ok {
			say(name, role)
		} else {
			t.fault(name, fmt.Sprintf("%q is not a role", t.theirs[name]), "sub for an edge, pub for a publisher, all for both in one process")
		}
	}
	for _, c := range []struct {
		name, value string
		role        Role
	}{{"PUSH_SUB_MODE", "sub", Edge}, {"PUSH_PUB_MODE", "pub", Publisher}} {
		switch t.theirs[c.name] {
		case "":
		case c.value:
			say(c.name, c.role)
		default:
			t.fault(c.name, fmt.Sprintf("%q is not understood, nor does the original's image accept it", t.theirs[c.name]), c.name+"="+c.value)
		}
	}
}

// keys translates the signature key.
func (t *translator) keys() {
	names := []string{"SECURITY_KEY", "PUSH_SECURITY_KEY", "PUSH_SERVER_KEY"}
	if t.wins(config.Prefix+"KEYS", names...) || t.wins(config.Prefix+"PORTALS", names...) {
		return
	}
	set := t.present(names...)
	if len(set) == 0 {
		return
	}
	key := t.theirs[set[0]]
	for _, name := range set[1:] {
		if t.theirs[name] != key {
			t.fault(name, "it is not the same key as "+set[0], "only one of the two: option signature_key of the portal's module pull")
			return
		}
	}
	if strings.Contains(key, ",") {
		t.fault(set[0], "the key contains a comma, which separates keys in "+config.Prefix+"KEYS",
			`a file with {"portals": [{"keys": ["…"]}]}, and its path in `+config.Prefix+"PORTALS")
		return
	}
	t.set(config.Prefix+"KEYS", key)
}

// paths checks that the addresses that clients and the portal call are those that pushgate serves.
func (t *translator) paths() {
	for _, name := range t.present(pathNames()...) {
		if known := pathVariables[name]; !slices.Contains(known, strings.TrimSuffix(t.theirs[name], "/")) {
			t.fault(name, fmt.Sprintf("pushgate does not serve the path %q", t.theirs[name]),
				known[0]+"/; if clients or the portal call another path, let nginx rewrite it to this one")
		}
	}
}

// refused refuses what asks for something that pushgate does not do.
func (t *translator) refused() {
	for _, name := range slices.Sorted(maps.Keys(unsupported)) {
		if t.theirs[name] != "" {
			t.fault(name, unsupported[name].problem, unsupported[name].hint)
		}
	}
	if t.theirs["RUN_DIR"] != "" {
		t.note("RUN_DIR has no effect: pushgate writes no files.")
	}
}

// unknown refuses what looks like a variable of the original, and is none.
func (t *translator) unknown() {
	for _, name := range slices.Sorted(maps.Keys(t.theirs)) {
		if !Known(name) {
			t.fault(name, "no image of the original knows it", "leave it out, or use "+nearest(name))
		}
	}
}

// list joins names for a sentence.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
