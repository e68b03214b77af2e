// Package shellvars reads files that assign variables in the way of a shell: /etc/sysconfig,
// /etc/default and .env files.
package shellvars

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// Var is one assignment.
type Var struct {
	Name, Value string
	Line        int
}

// Error is why a line cannot be read. It repeats nothing of the value.
type Error struct {
	Line    int
	Problem string
}

// Error returns the line and the problem.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Parse returns the assignments in their order; of several to one name, the last counts. Each line
// that it does not understand is an [*Error] in bad, and the others are read all the same: what
// would need a shell (another variable, the output of a command) is not understood.
func Parse(text []byte) (vars []Var, bad []*Error) {
	for i, raw := range bytes.Split(text, []byte("\n")) {
		line := strings.TrimSpace(strings.TrimPrefix(string(raw), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		v, problem := parse(strings.TrimPrefix(line, "export "))
		if problem != "" {
			bad = append(bad, &Error{i + 1, problem})
			continue
		}
		v.Line = i + 1
		vars = append(vars, v)
	}
	return vars, bad
}

// parse reads one line, or says what is wrong with it.
func parse(line string) (v Var, problem string) {
	left, right, ok := strings.Cut(line, "=")
	left = strings.TrimSpace(left)
	if !ok || !name.MatchString(left) {
		return v, "this is not an assignment of the form NAME=VALUE"
	}
	v.Name = left
	var b strings.Builder
	for i := 0; i < len(right); i++ {
		switch c := right[i]; {
		case c == '\'' || c == '"':
			end := closing(right[i+1:], c)
			if end < 0 {
				return v, "a quotation mark of " + left + " is not closed: the file is not complete"
			}
			part := right[i+1 : i+1+end]
			if c == '"' {
				if part, ok = unescape(part); !ok {
					return v, left + " depends on another variable or a command, which only a shell can read"
				}
			}
			b.WriteString(part)
			i += end + 1
		case c == ' ' || c == '\t' || c == '\r':
			rest := strings.TrimSpace(right[i:])
			if rest != "" && rest[0] != '#' {
				if b.Len() > 0 {
					return v, "the value of " + left + " has white space and no quotation marks"
				}
				continue
			}
			v.Value = b.String()
			return v, ""
		case c == '$' || c == '`':
			return v, left + " depends on another variable or a command, which only a shell can read"
		case c == '\\' && i+1 == len(right):
			return v, "the value of " + left + " goes on in the next line, which is not understood"
		case c == '\\':
			i++
			b.WriteByte(right[i])
		default:
			b.WriteByte(c)
		}
	}
	v.Value = b.String()
	return v, ""
}

// closing returns where a quoted part ends, or -1.
func closing(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == quote:
			return i
		case text[i] == '\\' && quote == '"':
			i++
		}
	}
	return -1
}

// unescape undoes the escapes between double quotation marks; ok is false if a shell would expand
// something there.
func unescape(text string) (plain string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && strings.IndexByte("\\\"$`", text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case c == '$' || c == '`':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}
