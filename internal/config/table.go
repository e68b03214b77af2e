package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// variable is one field of a program's struct, as docs/configuration.md shows it.
type variable struct {
	name, fallback, doc string
	programs            []string
}

// programs returns the structs that declare variables, in the order of the table.
func programs() []struct {
	name string
	typ  reflect.Type
} {
	return []struct {
		name string
		typ  reflect.Type
	}{{"edge", reflect.TypeFor[Edge]()}, {"publisher", reflect.TypeFor[Publisher]()}}
}

// variables returns the variables of all programs: those that all programs have first, then the
// others, each in the order of the structs. A variable with different defaults in two programs has
// both in its fallback.
func variables() []variable {
	var all []variable
	for _, program := range programs() {
		for _, field := range reflect.VisibleFields(program.typ) {
			name := field.Tag.Get("env")
			if name == "" || name == "-" {
				continue
			}
			v := variable{name: Prefix + name, fallback: "", doc: field.Tag.Get("doc"), programs: []string{program.name}}
			switch {
			case field.Tag.Get("default") != "":
				v.fallback = field.Tag.Get("default")
			case field.Tag.Get("envDefault") != "":
				v.fallback = "'" + field.Tag.Get("envDefault") + "'"
			default:
				v.fallback = "required"
			}
			i := slices.IndexFunc(all, func(other variable) bool { return other.name == v.name })
			switch {
			case i < 0:
				all = append(all, v)
			case all[i].fallback == v.fallback:
				all[i].programs = append(all[i].programs, program.name)
			default:
				all[i].fallback = fmt.Sprintf("%s (%s), %s (%s)", all[i].fallback, all[i].programs[0], v.fallback, program.name)
				all[i].programs = append(all[i].programs, program.name)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b variable) int { return len(b.programs) - len(a.programs) })
	return all
}

func names() []string {
	var names []string
	for _, v := range variables() {
		names = append(names, v.name)
	}
	return names
}

// The lines of a Markdown file before and after the table of [Markdown].
const (
	MarkdownBegin = "<!-- config -->"
	MarkdownEnd   = "<!-- /config -->"
)

// Markdown returns the table of all variables: name, default, the programs that use it, meaning.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | default | used by | meaning |\n| --- | --- | --- | --- |\n")
	cell := strings.NewReplacer("|", `\|`, "'", "`")
	for _, v := range variables() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", v.name, cell.Replace(v.fallback), strings.Join(v.programs, ", "), cell.Replace(v.doc))
	}
	return b.String()
}
